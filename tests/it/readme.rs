//! The README tells the truth: its function table is the declarations, and its SQL runs.
//!
//! `LIQSQL_COMPLETE=1` writes the table anew.

use datafusion::prelude::SessionContext;
use liqsql::sql::spec::{Fallback, Parameter, Spec};
use liqsql::sql::{functions, scalars, windows};

const README: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/README.md");
const BEGIN: &str = "<!-- functions: written by a test from the declarations -->\n";
const END: &str = "<!-- end of functions -->";

/// Returns how many parameters at the end every estimating function shares.
fn shared() -> &'static [Parameter] {
    let of = |name: &str| functions::all().find(|spec| spec.name == name).unwrap().parameters;
    let (flows, levels) = (of("liq_flows"), of("liq_levels"));
    let same = |n: &usize| {
        flows[flows.len() - n..].iter().map(|p| p.name).eq(levels[levels.len() - n..].iter().map(|p| p.name))
    };
    let count = (1..levels.len()).take_while(same).last().unwrap();
    &levels[levels.len() - count..]
}

fn row(spec: &Spec) -> String {
    let shared = shared().iter().map(|parameter| parameter.name);
    let own = spec.parameters.len().saturating_sub(shared.len());
    let estimates = spec.parameters[own..].iter().map(|parameter| parameter.name).eq(shared);
    let parameters = if estimates { &spec.parameters[..own] } else { spec.parameters };
    let parameters = parameters.iter().map(|parameter| match parameter.fallback {
        Fallback::Required => format!("**{}**", parameter.name),
        _ => parameter.name.to_owned(),
    });
    let mut parameters = parameters.collect::<Vec<_>>().join(", ");
    if estimates {
        parameters.push_str(", model parameters");
    }
    format!("| `{}` | {} | {parameters} | {} |\n", spec.name, spec.summary, spec.column_names())
}

fn table() -> String {
    let mut table = String::from("| function | what it returns | parameters (required in bold) | columns |\n");
    table.push_str("|---|---|---|---|\n");
    functions::all().for_each(|spec| table.push_str(&row(spec)));
    let shared: Vec<String> = shared().iter().map(|parameter| format!("`{}`", parameter.name)).collect();
    table.push_str(&format!("\nModel parameters, the same in every function that estimates: {}.\n", shared.join(", ")));
    table
}

#[test]
fn the_function_table_is_that_of_the_declarations() {
    let readme = std::fs::read_to_string(README).unwrap();
    let begin = readme.find(BEGIN).expect("the README marks where the table begins") + BEGIN.len();
    let end = readme.find(END).expect("the README marks where the table ends");
    if std::env::var_os("LIQSQL_COMPLETE").is_some() {
        std::fs::write(README, format!("{}{}{}", &readme[..begin], table(), &readme[end..])).unwrap();
        return;
    }
    assert_eq!(&readme[begin..end], table(), "LIQSQL_COMPLETE=1 writes it anew");
}

#[test]
fn scalars_and_windows_are_named() {
    let readme = std::fs::read_to_string(README).unwrap();
    for spec in scalars::specs().chain(windows::specs()) {
        let required: Vec<&str> = spec
            .parameters
            .iter()
            .filter(|parameter| matches!(parameter.fallback, Fallback::Required))
            .map(|parameter| parameter.name)
            .collect();
        let call = format!("`{}({}", spec.name, required.join(", "));
        assert!(readme.contains(&call), "the README does not name {call}");
    }
}

#[tokio::test]
async fn every_sql_block_runs_on_the_sample() {
    let readme = std::fs::read_to_string(README).unwrap();
    let blocks: Vec<&str> =
        readme.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default()).collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        let context = SessionContext::new_with_config(liqsql::session_config());
        liqsql::register_all(&context).unwrap();
        liqsql::sql::sample::register(&context).await.unwrap();
        for statement in block.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()) {
            let rows = context.sql(statement).await.unwrap_or_else(|error| panic!("{statement}\n{error}"));
            rows.collect().await.unwrap_or_else(|error| panic!("{statement}\n{error}"));
        }
    }
}
