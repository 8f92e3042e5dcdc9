//! Rows of heatmaps, maps and pools, checked, and divided among the pictures they belong to.
//!
//! What two rows say of one bucket is an error: is it said twice, or of two things? [`super::grid`] lays the rows of a
//! heatmap out, [`super::ladder`] those of a map.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, RecordBatch, StringArray};

use super::super::frame::{Frame, Heatmap, LARGEST_VALUE, Map, NOT_STATED, Origin, PoolSide};
use super::super::{RenderError, axis};
use super::overlays::{Overlays, Whose};
use super::{MOST_CELLS, MOST_PICTURES, Rows, Selection, columns, leverages};

/// A thousand million times the price: what is farther away is a mistake in the rows.
pub(super) const LARGEST_DISTANCE: f64 = 1e9;

/// A row of the result.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    pub(super) ts: Option<i64>,
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) side: PoolSide,
    pub(super) usd: f64,
    pub(super) price: Option<f64>,
    pub(super) cumulative_usd: Option<f64>,
    pub(super) distance: Option<f64>,
    /// See [`leverages::stated`].
    pub(super) leverage: Option<f64>,
    /// Position of its owner.
    pub(super) owner: usize,
}

/// Whose row it is, as far as it says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Owner {
    pub(super) symbol: Option<String>,
    pub(super) model: Option<String>,
    pub(super) exchange: Option<String>,
}

/// The rows of the result, checked.
#[derive(Debug)]
pub(super) struct Cells {
    is_map: bool,
    pub(super) rows: Vec<Cell>,
    pub(super) owners: Vec<Owner>,
    /// Where an owner stands among them.
    positions: BTreeMap<Owner, usize>,
    /// Rows with nulls, beside the owners.
    ignored: Vec<usize>,
}

/// What is read of a cell that need not be there.
struct Optional<T> {
    price: T,
    cumulative_usd: T,
    distance: T,
    leverage: T,
}

impl Cells {
    pub(super) fn read(result: &Rows, is_map: bool, selection: &Selection) -> Result<Self, RenderError> {
        let total = result.batches.iter().map(RecordBatch::num_rows).sum();
        let mut cells = Self {
            is_map,
            rows: Vec::with_capacity(total),
            owners: Vec::new(),
            positions: BTreeMap::new(),
            ignored: Vec::new(),
        };
        for batch in &result.batches {
            cells.read_batch(batch)?;
        }
        cells.check(total)?;
        cells.select(selection)?;
        cells.sort();
        Ok(cells)
    }

    fn read_batch(&mut self, batch: &RecordBatch) -> Result<(), RenderError> {
        let ts = if !self.is_map || columns::has(batch, "ts") { Some(columns::time(batch, "ts")?) } else { None };
        let low = columns::number(batch, "price_low")?;
        let high = columns::number(batch, "price_high")?;
        let side = columns::text(batch, "side")?;
        let usd = columns::number(batch, "notional_usd")?;
        let optional = Optional {
            price: columns::optional_number(batch, "price")?,
            cumulative_usd: columns::optional_number(batch, "cumulative_usd")?,
            distance: columns::optional_number(batch, "distance")?,
            leverage: columns::optional_number(batch, "leverage")?,
        };
        let owners = [
            columns::optional_text(batch, "symbol")?,
            columns::optional_text(batch, "model")?,
            columns::optional_text(batch, "exchange")?,
        ];
        let mut owner = None;
        for row in 0..batch.num_rows() {
            let current = self.owner(&owners, row, owner);
            owner = Some(current);
            let is_incomplete = ts.as_ref().is_some_and(|ts| ts.is_null(row))
                || usd.is_null(row)
                || low.is_null(row)
                || high.is_null(row)
                || side.is_null(row);
            if is_incomplete {
                if let Some(ignored) = self.ignored.get_mut(current) {
                    *ignored += 1;
                }
                continue;
            }
            let edges = columns::bucket(&low, &high, row)?;
            let within = |column, name, bounds| columns::optional_bounded(column, row, name, bounds);
            self.rows.push(Cell {
                ts: ts.as_ref().map(|ts| ts.value(row)),
                low: edges.0,
                high: edges.1,
                side: columns::side(&side, row)?,
                usd: columns::bounded(&usd, row, "notional_usd", 0.0..=LARGEST_VALUE)?,
                price: columns::optional_price(optional.price.as_ref(), row, "price")?,
                cumulative_usd: within(optional.cumulative_usd.as_ref(), "cumulative_usd", 0.0..=LARGEST_VALUE)?,
                distance: within(optional.distance.as_ref(), "distance", -1.0..=LARGEST_DISTANCE)?,
                leverage: leverages::stated(optional.leverage.as_ref(), row)?,
                owner: current,
            });
        }
        Ok(())
    }

    /// The position of a row's owner. Most rows have that of the row before.
    fn owner(&mut self, names: &[Option<StringArray>; 3], row: usize, before: Option<usize>) -> usize {
        let [symbol, model, exchange] = names.each_ref().map(|names| columns::text_value(names.as_ref(), row));
        let is_it = |owner: &Owner| {
            owner.symbol.as_deref() == symbol
                && owner.model.as_deref() == model
                && owner.exchange.as_deref() == exchange
        };
        if let Some(before) = before.filter(|before| self.owners.get(*before).is_some_and(is_it)) {
            return before;
        }
        let [symbol, model, exchange] = [symbol, model, exchange].map(|name| name.map(str::to_owned));
        let owner = Owner { symbol, model, exchange };
        let next = self.owners.len();
        let position = *self.positions.entry(owner.clone()).or_insert(next);
        if position == next {
            self.owners.push(owner);
            self.ignored.push(0);
        }
        position
    }

    fn check(&self, total: usize) -> Result<(), RenderError> {
        if total == 0 {
            return Err(RenderError::Empty { reason: "the result has no rows".to_string() });
        }
        if self.rows.is_empty() {
            let reason = format!("'notional_usd', 'side', 'ts' or a price is null in all {total} rows");
            return Err(RenderError::Empty { reason });
        }
        if self.rows.iter().all(|row| row.usd == 0.0) {
            let reason = format!("'notional_usd' is zero in all {} rows", self.rows.len());
            return Err(RenderError::Empty { reason });
        }
        Ok(())
    }

    fn select(&mut self, selection: &Selection) -> Result<(), RenderError> {
        let instants = || self.rows.iter().filter_map(|row| row.ts);
        let (Some(range), Some(first), Some(last)) = (selection.range, instants().min(), instants().max()) else {
            return Ok(());
        };
        self.rows.retain(|row| row.ts.is_none_or(|ts| range.contains(ts, last)));
        if self.rows.iter().all(|row| row.usd == 0.0) {
            let reason =
                format!("no row within {}, the rows are of {} UTC", range.label(), axis::instants(first, last));
            return Err(RenderError::Empty { reason });
        }
        Ok(())
    }

    /// Sorts the rows by time, price, side and whose they are, so that sums do not depend on the order in which they came.
    fn sort(&mut self) {
        let mut order: Vec<usize> = (0..self.owners.len()).collect();
        order.sort_by(|a, b| self.owners[*a].cmp(&self.owners[*b]));
        let mut ranks = vec![0; order.len()];
        for (rank, owner) in order.into_iter().enumerate() {
            ranks[owner] = rank;
        }
        let rank = |cell: &Cell| ranks.get(cell.owner).copied().unwrap_or_default();
        let leverage = |cell: &Cell| cell.leverage.unwrap_or_default();
        self.rows.sort_unstable_by(|a, b| {
            (a.ts.cmp(&b.ts))
                .then(a.low.total_cmp(&b.low))
                .then(a.high.total_cmp(&b.high))
                .then(a.side.cmp(&b.side))
                .then(rank(a).cmp(&rank(b)))
                .then(leverage(a).total_cmp(&leverage(b)))
                .then(a.usd.total_cmp(&b.usd))
        });
    }

    /// Per owner whether any row is its.
    fn is_used(&self) -> Vec<bool> {
        let mut is_used = vec![false; self.owners.len()];
        for row in &self.rows {
            is_used[row.owner] = true;
        }
        is_used
    }

    /// The owners of the rows that are left.
    fn used(&self) -> impl Iterator<Item = &Owner> {
        self.owners.iter().zip(self.is_used()).filter(|(_, is_used)| *is_used).map(|(owner, _)| owner)
    }

    /// The different values of one of the owners' names, sorted; rows that do not say are a value of their own, the last.
    pub(super) fn names(&self, of: impl Fn(&Owner) -> Option<&String>) -> Vec<Option<String>> {
        none_last(self.used().map(|owner| of(owner).cloned()).collect())
    }

    /// One picture of all rows.
    pub(super) fn into_frame(self, overlays: &Overlays<'_>, origin: &Origin) -> Result<Frame, RenderError> {
        let mut symbols = self.names(|owner| owner.symbol.as_ref());
        if symbols.len() > 1 {
            return Err(RenderError::SeveralSymbols { symbols: stated(symbols) });
        }
        let mut models = self.names(|owner| owner.model.as_ref());
        if models.len() > 1 {
            return Err(RenderError::SeveralModels { models: stated(models) });
        }
        self.framed(overlays, origin, symbols.pop().flatten(), models.pop().flatten(), false)
    }

    /// A picture of every symbol, model and exchange; of several exchanges their sum first.
    pub(super) fn into_frames(self, overlays: &Overlays<'_>, origin: &Origin) -> Result<Vec<Frame>, RenderError> {
        // The exchanges of each symbol and model.
        let mut groups: BTreeMap<_, BTreeSet<Option<String>>> = BTreeMap::new();
        for owner in self.used() {
            let key = (owner.symbol.clone(), owner.model.clone());
            groups.entry(key).or_default().insert(owner.exchange.clone());
        }
        let count = groups.values().map(|exchanges| exchanges.len() + usize::from(exchanges.len() > 1)).sum();
        if count > MOST_PICTURES {
            return Err(RenderError::TooManyPictures { count });
        }
        let mut frames = Vec::with_capacity(count);
        let mut cells = 0;
        for ((symbol, model), exchanges) in groups {
            let each = exchanges.iter().filter(|_| exchanges.len() > 1).map(Some);
            for exchange in [None].into_iter().chain(each) {
                let part = self.part(&symbol, &model, exchange);
                // What is left of a group can be empty buckets.
                if part.rows.iter().any(|row| row.usd > 0.0) {
                    let frame = part.framed(overlays, origin, symbol.clone(), model.clone(), true)?;
                    if let Frame::Heatmap(heatmap) = &frame {
                        cells += (heatmap.cells.len() * (1 + heatmap.bands.len())) as u64;
                    }
                    if cells > 2 * MOST_CELLS {
                        return Err(RenderError::TooManyPictures { count });
                    }
                    frames.push(frame);
                }
            }
        }
        Ok(frames)
    }

    /// The rows of one symbol and model, and of one exchange if it is given.
    fn part(&self, symbol: &Option<String>, model: &Option<String>, exchange: Option<&Option<String>>) -> Self {
        let is_wanted = |owner: &Owner| {
            owner.symbol == *symbol
                && owner.model == *model
                && exchange.is_none_or(|exchange| owner.exchange == *exchange)
        };
        let is_wanted: Vec<bool> = self.owners.iter().map(is_wanted).collect();
        // A row that was left out need not say whose it is.
        let may_be = |own: &Option<String>, name: &Option<String>| own.is_none() || own == name;
        let is_ignored = |owner: &Owner| {
            may_be(&owner.symbol, symbol)
                && may_be(&owner.model, model)
                && exchange.is_none_or(|exchange| may_be(&owner.exchange, exchange))
        };
        let ignored = self.owners.iter().zip(&self.ignored);
        Self {
            is_map: self.is_map,
            rows: self.rows.iter().filter(|row| is_wanted[row.owner]).copied().collect(),
            owners: self.owners.clone(),
            positions: BTreeMap::new(),
            ignored: ignored.map(|(owner, count)| if is_ignored(owner) { *count } else { 0 }).collect(),
        }
    }

    fn framed(
        self,
        overlays: &Overlays<'_>,
        origin: &Origin,
        symbol: Option<String>,
        model: Option<String>,
        with_bands: bool,
    ) -> Result<Frame, RenderError> {
        let mut origin = origin.clone();
        self.check_distinct()?;
        let mut exchanges = stated(self.names(|owner| owner.exchange.as_ref()));
        if exchanges.is_empty() {
            exchanges.extend(origin.exchange.clone());
        }
        let symbol = symbol.or(origin.symbol.clone());
        let whose = Whose { symbol: symbol.as_deref(), exchanges: &exchanges, model: model.as_deref() };
        let mut ignored_rows = self.ignored.iter().sum();
        if self.is_map {
            let mut map = self.map()?;
            if let Some(at) = map.at_ms {
                let pools = overlays.pools(whose, at..=at)?;
                map.pools = pools.found;
                ignored_rows += pools.ignored_rows;
            }
            origin.model = model.or(origin.model);
            return Ok(Frame::Map(Map { exchanges, symbol, origin, ignored_rows, ..map }));
        }
        let mut heatmap = self.heatmap(with_bands)?;
        let candles = overlays.candles(whose, heatmap.time)?;
        let pools = overlays.pools(whose, heatmap.time.last_ms()..=heatmap.time.last_ms())?;
        ignored_rows += candles.ignored_rows + pools.ignored_rows;
        (heatmap.candles, heatmap.pools) = (candles.found, pools.found);
        for (current, candle) in heatmap.current.iter_mut().zip(&heatmap.candles) {
            *current = current.or(candle.map(|candle| candle.close));
        }
        origin.model = model.or(origin.model);
        Ok(Frame::Heatmap(Heatmap { exchanges, symbol, origin, ignored_rows, ..heatmap }))
    }

    /// What two rows say of one bucket is either said twice or of two things; the sum would be wrong in both cases.
    fn check_distinct(&self) -> Result<(), RenderError> {
        let is_same = |a: &Cell, b: &Cell| {
            (a.ts, a.side, a.owner, a.low, a.high, a.leverage) == (b.ts, b.side, b.owner, b.low, b.high, b.leverage)
        };
        // They are sorted by all of these.
        match self.rows.windows(2).find(|pair| is_same(&pair[0], &pair[1])).map(|pair| &pair[0]) {
            Some(row) => {
                let decimals = axis::edge_decimals(row.low, row.high);
                Err(RenderError::Ambiguous {
                    what: format!(
                        "the {}s between {} and {}{}",
                        row.side.name(),
                        axis::decimal(row.low, decimals),
                        axis::decimal(row.high, decimals),
                        row.ts.map(|ts| format!(" at {}", axis::instant(ts))).unwrap_or_default(),
                    ),
                    advice: "sum them with GROUP BY, filter with WHERE, or add the column that tells them apart \
                             ('exchange', 'model', 'leverage')",
                })
            }
            None => Ok(()),
        }
    }
}

/// Sorted, those of rows that do not say at the end.
pub(super) fn none_last(names: BTreeSet<Option<String>>) -> Vec<Option<String>> {
    let (unstated, mut stated): (Vec<_>, Vec<_>) = names.into_iter().partition(Option::is_none);
    stated.extend(unstated);
    stated
}

/// Names as a picture writes them; none if no row says.
pub(super) fn stated(names: Vec<Option<String>>) -> Vec<String> {
    if names.iter().all(Option::is_none) {
        return Vec::new();
    }
    names.into_iter().map(|name| name.unwrap_or_else(|| NOT_STATED.to_owned())).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use arrow::array::ArrayRef;

    use super::super::super::samples::{self, numbers, words};
    use super::*;

    pub(in super::super) fn cell(ts: i64, low: f64, high: f64, side: PoolSide, usd: f64) -> Cell {
        let (price, cumulative_usd, distance, leverage) = (None, None, None, None);
        Cell { ts: Some(ts), low, high, side, usd, price, cumulative_usd, distance, leverage, owner: 0 }
    }

    /// Rows of as many exchanges as are named.
    pub(in super::super) fn cells_of(exchanges: &[Option<&str>], rows: Vec<Cell>) -> Cells {
        let owner = |name: &Option<&str>| Owner { exchange: name.map(str::to_owned), ..Owner::default() };
        let owners: Vec<Owner> = exchanges.iter().map(owner).collect();
        let ignored = vec![0; owners.len()];
        let mut cells = Cells { is_map: false, rows, owners, positions: BTreeMap::new(), ignored };
        cells.sort();
        cells
    }

    pub(in super::super) fn cells(rows: Vec<Cell>) -> Cells {
        cells_of(&[None], rows)
    }

    /// A map of longs at 98, 97, 96 …, one per amount, with further columns.
    fn map(usd: &[Option<f64>], more: Vec<(&str, ArrayRef)>) -> Rows {
        let edges = |edge: f64| (0..usd.len()).map(|row| Some(edge - row as f64)).collect::<Vec<_>>();
        let mut columns = vec![
            ("ts", samples::instants(&vec![Some(0); usd.len()])),
            ("price_low", numbers(&edges(98.0))),
            ("price_high", numbers(&edges(99.0))),
            ("side", words(&vec![Some("long"); usd.len()])),
            ("notional_usd", numbers(usd)),
        ];
        if !more.iter().any(|(name, _)| *name == "cumulative_usd") {
            columns.push(("cumulative_usd", numbers(usd)));
        }
        columns.extend(more);
        samples::rows(columns)
    }

    fn one(rows: &Rows) -> Result<Frame, String> {
        let rows = std::slice::from_ref(rows);
        Frame::try_from_results(rows, &Selection::default()).map_err(|error| error.to_string())
    }

    fn all(rows: &Rows) -> Vec<Map> {
        let frames = Frame::all_from_results(std::slice::from_ref(rows), &Selection::default()).unwrap();
        let map = |frame| if let Frame::Map(map) = frame { Some(map) } else { None };
        frames.into_iter().filter_map(map).collect()
    }

    #[test]
    fn rows_without_a_symbol_are_not_summed_into_the_one_that_is_named() {
        let usd = [Some(1.0), Some(2.0)];
        assert_eq!(
            one(&map(&usd, vec![("symbol", words(&[Some("BTCUSDT"), None]))])),
            Err(
                "render: a picture shows one symbol, found 2: BTCUSDT, not stated; filter with WHERE symbol = '…', or \
                 draw an .html page, which lets you choose"
                    .to_owned()
            )
        );
        assert_eq!(
            one(&map(&usd, vec![("model", words(&[None, Some("zones")]))])),
            Err("render: a picture shows one model, found 2: zones, not stated; filter with WHERE model = '…', or draw \
                 an .html page, which lets you choose"
                .to_owned())
        );
        assert!(one(&map(&usd, vec![("symbol", words(&[None, None]))])).is_ok());
        // A page has a picture of each.
        let maps = all(&map(&usd, vec![("symbol", words(&[Some("BTCUSDT"), None]))]));
        let found: Vec<_> = maps.iter().map(|map| (map.symbol.as_deref(), map.rows[0].long_usd)).collect();
        assert_eq!(found, [(None, 2.0), (Some("BTCUSDT"), 1.0)]);
    }

    #[test]
    fn rows_without_an_exchange_are_summed_and_named() {
        let rows = map(&[Some(1.0), Some(2.0)], vec![("exchange", words(&[None, Some("binance")]))]);
        let Ok(Frame::Map(sum)) = one(&rows) else { panic!("a map") };
        assert_eq!(sum.exchanges, ["binance", "not stated"]);
        let maps = all(&rows);
        let names: Vec<String> = maps.iter().map(|map| map.exchanges.join("+")).collect();
        assert_eq!(names, ["binance+not stated", "", "binance"], "the sum, and each");
    }

    #[test]
    fn a_picture_of_a_page_counts_its_own_ignored_rows() {
        let usd = [Some(1.0), None, Some(3.0), None, None, None, None, None];
        let symbols = [Some("A"), Some("A"), Some("B"), Some("B"), Some("B"), None, Some("C"), Some("A")];
        let exchanges = [Some("x"), Some("x"), Some("x"), Some("x"), None, Some("x"), Some("x"), Some("y")];
        let maps = all(&map(&usd, vec![("symbol", words(&symbols)), ("exchange", words(&exchanges))]));
        let counts: Vec<_> = maps.iter().map(|map| (map.symbol.as_deref(), map.ignored_rows)).collect();
        // The row without a symbol may be of either; nothing is left of C.
        assert_eq!(counts, [(Some("A"), 3), (Some("B"), 3)]);
    }

    #[test]
    fn what_has_no_place_in_a_picture_is_an_error() {
        let usd = [Some(1.0), Some(2.0)];
        for (name, value, said) in [
            ("price", -100.0, "column 'price' must hold prices above 0, of at most 1e15, was -100"),
            ("price", 0.0, "column 'price' must hold prices above 0, of at most 1e15, was 0"),
            ("price", 1e300, "column 'price' must hold prices above 0, of at most 1e15, was 1e300"),
            ("cumulative_usd", -5.0, "column 'cumulative_usd' must hold numbers from 0 to 1e24, was -5"),
            ("cumulative_usd", f64::NAN, "column 'cumulative_usd' must hold numbers from 0 to 1e24, was NaN"),
            ("leverage", f64::NAN, "column 'leverage' must hold numbers up to 1000000, was NaN"),
            ("leverage", 1e9, "column 'leverage' must hold numbers up to 1000000, was 1000000000"),
            ("distance", -2.0, "column 'distance' must hold numbers from -1 to 1000000000, was -2"),
        ] {
            let message = one(&map(&usd, vec![(name, numbers(&[None, Some(value)]))])).unwrap_err();
            assert_eq!(message, format!("render: {said}"));
        }
        assert!(one(&map(&usd, vec![("price", numbers(&[None, Some(98.0)]))])).is_ok());
    }

    #[test]
    fn what_is_said_twice_is_named_with_its_digits() {
        let long = |usd| cell(0, 96_000.5, 96_000.6, PoolSide::Long, usd);
        let error = cells(vec![long(1.0), long(3.0)]).check_distinct().unwrap_err().to_string();
        assert!(error.contains("the longs between 96,000.5 and 96,000.6 at 1970-01-01 00:00;"), "{error}");
    }
}
