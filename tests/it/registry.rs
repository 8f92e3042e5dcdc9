//! Every declared function keeps what its declaration says: names, documentation, example, columns, `.slt`.

use std::collections::BTreeSet;

use liqsql::market::tables::DOC;
use liqsql::sql::functions;
use liqsql::sql::spec::{Fallback, Returns};

use crate::slt::{files, fixed_config, query, session, with_large_stack};

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

#[test]
fn names_are_unique_and_plain() {
    let mut seen = BTreeSet::new();
    for spec in functions::all() {
        assert!(is_name(spec.name), "'{}' must match ^[a-z_]+$", spec.name);
        assert!(seen.insert(spec.name), "'{}' is declared twice", spec.name);
        let mut parameters = BTreeSet::new();
        for parameter in spec.parameters {
            assert!(is_name(parameter.name), "{}: '{}' must match ^[a-z_]+$", spec.name, parameter.name);
            assert!(parameters.insert(parameter.name), "{}: '{}' is declared twice", spec.name, parameter.name);
        }
    }
    assert!(seen.len() >= 7);
}

#[test]
fn everything_is_documented() {
    for spec in functions::all() {
        assert!(!spec.summary.is_empty() && !spec.summary.ends_with('.'), "{}: summary", spec.name);
        for parameter in spec.parameters {
            assert!(!parameter.doc.is_empty(), "{}: '{}' has no documentation", spec.name, parameter.name);
            assert!(!parameter.default_text().is_empty(), "{}: '{}' has an empty default", spec.name, parameter.name);
        }
        match spec.returns {
            Returns::Derived(words) => assert!(!words.is_empty(), "{}: returns", spec.name),
            Returns::Columns(columns) => {
                let mut names = BTreeSet::new();
                for column in columns {
                    assert!(names.insert(column.name), "{}: column '{}' twice", spec.name, column.name);
                    assert!(!column.doc.is_empty(), "{}: column '{}' has no documentation", spec.name, column.name);
                }
            }
        }
    }
}

#[test]
fn required_parameters_come_first() {
    for spec in functions::all() {
        let required: Vec<bool> =
            spec.parameters.iter().map(|parameter| matches!(parameter.fallback, Fallback::Required)).collect();
        assert!(required.is_sorted_by(|a, b| a >= b), "{}: a required parameter follows an optional one", spec.name);
    }
}

#[test]
fn every_function_has_its_slt() {
    let found: BTreeSet<String> =
        files("tests/slt", "slt").iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    for spec in functions::all() {
        assert!(found.contains(spec.name), "tests/slt/{}.slt is missing", spec.name);
    }
}

#[test]
fn every_example_runs_and_has_its_columns() {
    with_large_stack(|| async {
        let context = session(fixed_config()).await;
        for spec in functions::all() {
            let frame = context.sql(spec.example).await.unwrap_or_else(|error| panic!("{}: {error}", spec.name));
            let schema = frame.schema().as_arrow().clone();
            let batches = frame.collect().await.unwrap_or_else(|error| panic!("{}: {error}", spec.name));
            let rows: usize = batches.iter().map(|batch| batch.num_rows()).sum();
            assert!(rows > 0, "{}: the example has no rows", spec.name);
            if let Returns::Columns(columns) = spec.returns
                && spec.example.starts_with("SELECT * FROM ")
            {
                let names: Vec<&str> = columns.iter().map(|column| column.name).collect();
                let found: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
                assert_eq!(found, names, "{}", spec.name);
                for (column, field) in columns.iter().zip(schema.fields()) {
                    assert_eq!(field.data_type(), &column.kind.data_type(), "{}.{}", spec.name, column.name);
                    assert_eq!(field.is_nullable(), column.optional, "{}.{}", spec.name, column.name);
                    let doc = field.metadata().get(DOC).map(String::as_str);
                    assert_eq!(doc, Some(column.doc), "{}.{}", spec.name, column.name);
                }
            }
        }
    });
}

#[test]
fn every_written_default_can_be_written() {
    with_large_stack(|| async {
        let context = session(fixed_config()).await;
        for spec in functions::all() {
            for parameter in spec.parameters {
                let Fallback::Value(value) = parameter.fallback else { continue };
                // Arguments that go only with another one are refused without it, which is an answer too.
                let call = spec.example.split_once(&format!("{}(", spec.name)).map(|(_, rest)| rest).unwrap();
                let call = format!("SELECT 1 FROM {}({} => {value}, {call}", spec.name, parameter.name);
                let positional_follows = "has no name but follows";
                if let Err(error) = context.sql(&call).await {
                    let error = error.to_string();
                    assert!(
                        error.contains("goes only with")
                            || error.contains(positional_follows)
                            || error.contains("is given twice"),
                        "{}: '{}' => {value}: {error}",
                        spec.name,
                        parameter.name
                    );
                }
            }
        }
    });
}

#[test]
fn column_docs_are_in_the_metadata_of_every_result() {
    for spec in functions::all() {
        let Returns::Columns(columns) = spec.returns else { continue };
        for (column, field) in columns.iter().zip(spec.schema().fields()) {
            assert_eq!(field.name(), column.name);
            assert_eq!(
                field.metadata().get(DOC).map(String::as_str),
                Some(column.doc),
                "{}.{}",
                spec.name,
                column.name
            );
        }
    }
}

#[test]
fn liq_functions_lists_every_parameter() {
    with_large_stack(|| async {
        let context = session(fixed_config()).await;
        let found =
            query(&context, "SELECT function, position, parameter, \"default\", description FROM liq_functions()")
                .await;
        let mut expected = Vec::new();
        for spec in functions::all() {
            let null = || "NULL".to_owned();
            if spec.parameters.is_empty() {
                expected.push(vec![spec.name.to_owned(), null(), null(), null(), null()]);
            }
            for (i, parameter) in spec.parameters.iter().enumerate() {
                expected.push(vec![
                    spec.name.to_owned(),
                    (i + 1).to_string(),
                    parameter.name.to_owned(),
                    parameter.default_text().to_owned(),
                    parameter.doc.to_owned(),
                ]);
            }
        }
        assert_eq!(found, expected);
    });
}
