//! Calls in FROM: names to positions, and relations as arguments.
//!
//! A stock session refuses `f(a => 1)`, and drops the names in `LATERAL f(b => 2, a => 1)` without a word. This planner
//! puts named arguments where the declaration has them, and turns every form of a relation argument into an expression
//! that binding understands: a name stays a name, a subquery, a CTE or a nested call becomes a plan.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use datafusion::common::{
    DFSchema, DataFusionError, Diagnostic, Result, ScalarValue, Span, Spans, TableReference, plan_datafusion_err,
    plan_err,
};
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::{Expr, LogicalPlanBuilder, Subquery, lit};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr as SqlExpr, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName,
    ObjectNamePart, Spanned, TableFactor, TableFunctionArgs, Value,
};
use datafusion::sql::sqlparser::tokenizer::Span as SqlSpan;

use super::spec::{ParameterKind, Spec};

/// Plans calls of the functions it knows; leaves every other relation alone.
#[derive(Debug)]
pub struct NamedArguments {
    specs: BTreeMap<&'static str, &'static Spec>,
}

impl NamedArguments {
    /// Makes a planner for a set of functions.
    pub fn new(specs: impl IntoIterator<Item = &'static Spec>) -> NamedArguments {
        NamedArguments { specs: specs.into_iter().map(|spec| (spec.name, spec)).collect() }
    }
}

impl RelationPlanner for NamedArguments {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let name = match &relation {
            TableFactor::Table { name, args: Some(_), .. } | TableFactor::Function { name, .. } => name.clone(),
            _ => return Ok(RelationPlanning::Original(Box::new(relation))),
        };
        let call = name.span();
        let name = context.object_name_to_table_reference(name)?;
        let Some(spec) = self.specs.get(name.table()).copied() else {
            // Of a mistyped name the engine would plan the arguments first, and blame the functions in them.
            if let Some(nearest) = super::nearest(name.table(), self.specs.keys().copied())
                && let Err(error) = context.context_provider().get_table_function_source(name.table(), vec![])
                && error.message().contains("not found")
            {
                let error =
                    plan_datafusion_err!("table function '{}' not found, did you mean '{nearest}'?", name.table());
                return Err(pointed(error, call));
            }
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let (arguments, alias) = match relation {
            // Every field is named, so that a parser with a new modifier does not compile until it is decided here.
            TableFactor::Table {
                name: _,
                alias,
                args: Some(TableFunctionArgs { args, settings }),
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
            } => {
                let modified = !with_hints.is_empty()
                    || version.is_some()
                    || with_ordinality
                    || !partitions.is_empty()
                    || json_path.is_some()
                    || sample.is_some()
                    || !index_hints.is_empty()
                    || settings.is_some();
                if modified {
                    return plan_err!("{}: takes no modifiers after its arguments", spec.name);
                }
                (args, alias)
            }
            TableFactor::Function { lateral: _, name: _, args, with_ordinality, alias } => {
                if with_ordinality {
                    return plan_err!("{}: takes no modifiers after its arguments", spec.name);
                }
                (args, alias)
            }
            other => return Ok(RelationPlanning::Original(Box::new(other))),
        };
        let places: Vec<(Option<String>, SqlSpan)> = arguments.iter().map(place_of).collect();
        let expressions = place(spec, arguments, context).map_err(|error| pointed(error, call))?;
        // The optimiser takes two scans of one name for the same, whatever they scan, and computes only one of two scalar
        // subqueries. So a scan is named by its arguments; the alias gives its columns the name that users write.
        let scan = TableReference::bare(format!("{}#{:016x}", spec.name, fingerprint(&expressions)));
        let source = context.context_provider().get_table_function_source(spec.name, expressions).map_err(|error| {
            let place = argument_of(&error, spec, &places).unwrap_or(call);
            pointed(error, place)
        })?;
        let plan = LogicalPlanBuilder::scan(scan, source, None)?.alias(spec.name)?.build()?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// The name of an argument, if it has one, and the place of its value.
fn place_of(argument: &FunctionArg) -> (Option<String>, SqlSpan) {
    match argument {
        FunctionArg::Named { name, arg, .. } => (Some(name.value.to_lowercase()), arg.span()),
        other => (None, other.span()),
    }
}

/// The place of the argument of which binding says that it is wrong: its errors name it in quotes after the function.
fn argument_of(error: &DataFusionError, spec: &Spec, places: &[(Option<String>, SqlSpan)]) -> Option<SqlSpan> {
    let message = error.message();
    let (_, rest) = message.strip_prefix(spec.name)?.strip_prefix(": ")?.split_once('\'')?;
    let (parameter, _) = rest.split_once('\'')?;
    let position = spec.position(parameter)?;
    let named = places.iter().find(|(name, _)| name.as_deref() == Some(parameter));
    let place = named.or_else(|| places.get(position).filter(|(name, _)| name.is_none()));
    place.map(|(_, place)| *place)
}

/// Attaches a place to an error that has none of its own.
fn pointed(error: DataFusionError, place: SqlSpan) -> DataFusionError {
    if error.diagnostic().is_some() {
        return error;
    }
    let diagnostic = Diagnostic::new_error(error.message(), Span::try_from_sqlparser_span(place));
    error.with_diagnostic(diagnostic)
}

/// Returns a number that differs between calls with different arguments: plans and constants are hashed whole.
fn fingerprint(expressions: &[Expr]) -> u64 {
    let mut hasher = DefaultHasher::new();
    expressions.hash(&mut hasher);
    hasher.finish()
}

/// Puts the arguments of a call in the order of the declaration, NULL where one is not given.
fn place(
    spec: &'static Spec,
    arguments: Vec<FunctionArg>,
    context: &mut dyn RelationPlannerContext,
) -> Result<Vec<Expr>> {
    let mut slots: Vec<Option<Expr>> = vec![None; spec.parameters.len()];
    let mut last_named = None;
    let given = arguments.len();
    if spec.parameters.is_empty() && given > 0 {
        return plan_err!("{}: takes no arguments, was given {given}", spec.name);
    }
    for (position, argument) in arguments.into_iter().enumerate() {
        let (_, value) = place_of(&argument);
        let mut put = |argument: FunctionArg| -> Result<()> {
            let (slot, expression) = match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expression)) => {
                    if let Some(name) = comparison(spec, &expression) {
                        return plan_err!("{}: an argument is named with =>, as in {name} => …", spec.name);
                    }
                    if let Some(name) = last_named {
                        return plan_err!(
                            "{}: argument {} has no name but follows '{name} => …'",
                            spec.name,
                            position + 1
                        );
                    }
                    if position >= slots.len() {
                        return plan_err!(
                            "{}: takes at most {} arguments ({}), was given {given}",
                            spec.name,
                            slots.len(),
                            spec.parameter_names()
                        );
                    }
                    (position, expression)
                }
                FunctionArg::Named { name, arg: FunctionArgExpr::Expr(expression), operator: _ } => {
                    let place = name.span;
                    let key = context.normalize_ident(name);
                    let slot = spec.position(&key).ok_or_else(|| pointed(unknown(spec, &key), place))?;
                    last_named = Some(spec.parameters[slot].name);
                    (slot, expression)
                }
                other => return plan_err!("{}: cannot take the argument {other}", spec.name),
            };
            let parameter = &spec.parameters[slot];
            if slots[slot].is_some() {
                return plan_err!("{}: argument '{}' is given twice", spec.name, parameter.name);
            }
            slots[slot] = Some(match parameter.kind {
                ParameterKind::Relation => relation(spec, parameter.name, expression, context)?,
                _ => scalar(spec, parameter.name, expression, context)?,
            });
            Ok(())
        };
        put(argument).map_err(|error| pointed(error, value))?;
    }
    Ok(slots.into_iter().map(|slot| slot.unwrap_or_else(|| lit(ScalarValue::Null))).collect())
}

/// The parameter that `name = value` meant to name.
fn comparison(spec: &'static Spec, expression: &SqlExpr) -> Option<&'static str> {
    let SqlExpr::BinaryOp { left, op: BinaryOperator::Eq, .. } = expression else { return None };
    let SqlExpr::Identifier(name) = left.as_ref() else { return None };
    spec.position(&name.value.to_lowercase()).map(|position| spec.parameters[position].name)
}

fn unknown(spec: &'static Spec, name: &str) -> DataFusionError {
    if name == "symbol" || name == "exchange" {
        // A predicate reaches the input, so there is no argument that would do the same.
        return plan_datafusion_err!("{}: unknown argument '{name}'; write WHERE {name} = … after the call", spec.name);
    }
    let names = spec.parameters.iter().map(|parameter| parameter.name);
    match super::nearest(name, names) {
        Some(nearest) => {
            plan_datafusion_err!("{}: unknown argument '{name}', did you mean '{nearest}'?", spec.name)
        }
        None => plan_datafusion_err!("{}: unknown argument '{name}'; allowed: {}", spec.name, spec.parameter_names()),
    }
}

fn scalar(
    spec: &'static Spec,
    parameter: &str,
    expression: SqlExpr,
    context: &mut dyn RelationPlannerContext,
) -> Result<Expr> {
    let text = expression.to_string();
    let position = spec.position(parameter).unwrap_or(0);
    let expected = spec.parameters[position].kind.expected();
    // An interval is a constant, whatever is wrong with it.
    let is_interval = matches!(expression, SqlExpr::Interval(_));
    context.sql_expr_to_logical_expr(expression, &DFSchema::empty()).map_err(|_| {
        if is_interval {
            plan_datafusion_err!("{}: '{parameter}' must be {expected}, was {text}", spec.name)
        } else {
            plan_datafusion_err!("{}: '{parameter}' must be a constant ({expected}), was {text}", spec.name)
        }
    })
}

/// Turns every form of a relation argument into an expression that binding understands.
fn relation(
    spec: &'static Spec,
    parameter: &str,
    expression: SqlExpr,
    context: &mut dyn RelationPlannerContext,
) -> Result<Expr> {
    match expression {
        SqlExpr::Nested(inner) => relation(spec, parameter, *inner, context),
        SqlExpr::Identifier(ident) => named(vec![ident], context),
        SqlExpr::CompoundIdentifier(parts) => named(parts, context),
        SqlExpr::Value(value) => match value.value {
            Value::SingleQuotedString(name) => Ok(Expr::Literal(ScalarValue::Utf8(Some(name)), None)),
            Value::Null => Ok(lit(ScalarValue::Null)),
            Value::Placeholder(name) => {
                plan_err!("{}: '{parameter}' is given as {name}, which has no value", spec.name)
            }
            other => {
                plan_err!("{}: '{parameter}' must be {}, was {other}", spec.name, ParameterKind::Relation.expected())
            }
        },
        SqlExpr::Subquery(query) => {
            planned(TableFactor::Derived { lateral: false, subquery: query, alias: None, sample: None }, context)
        }
        SqlExpr::Function(function) => {
            let FunctionArguments::List(list) = function.args else {
                return plan_err!("{}: '{parameter}' must call a table function with arguments", spec.name);
            };
            let factor = TableFactor::Table {
                name: function.name,
                alias: None,
                args: Some(TableFunctionArgs { args: list.args, settings: None }),
                with_hints: vec![],
                version: None,
                with_ordinality: false,
                partitions: vec![],
                json_path: None,
                sample: None,
                index_hints: vec![],
            };
            planned(factor, context)
        }
        other => plan_err!("{}: '{parameter}' must be {}, was {other}", spec.name, ParameterKind::Relation.expected()),
    }
}

/// A name is a CTE if the planner knows it, else it is looked up when the function is scanned.
fn named(parts: Vec<Ident>, context: &mut dyn RelationPlannerContext) -> Result<Expr> {
    let name = ObjectName(parts.into_iter().map(ObjectNamePart::Identifier).collect());
    let reference = context.object_name_to_table_reference(name.clone())?;
    let factor = TableFactor::Table {
        name,
        alias: None,
        args: None,
        with_hints: vec![],
        version: None,
        with_ordinality: false,
        partitions: vec![],
        json_path: None,
        sample: None,
        index_hints: vec![],
    };
    match planned(factor, context) {
        Ok(expression) => Ok(expression),
        // A table of the catalog that no FROM of the query names is not resolved yet: the name is kept.
        Err(_) => Ok(Expr::Literal(ScalarValue::Utf8(Some(reference.to_quoted_string())), None)),
    }
}

fn planned(factor: TableFactor, context: &mut dyn RelationPlannerContext) -> Result<Expr> {
    let plan = context.plan(factor)?;
    Ok(Expr::ScalarSubquery(Subquery { subquery: Arc::new(plan), outer_ref_columns: vec![], spans: Spans::new() }))
}
