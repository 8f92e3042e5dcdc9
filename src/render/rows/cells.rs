//! Rows of heatmaps, maps and pools in their order, divided among the pictures they belong to. [`super::packed`] reads and
//! checks them.
//!
//! What two rows say of one bucket is an error: is it said twice, or of two things? [`super::grid`] lays the rows of a
//! heatmap out, [`super::ladder`] those of a map.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::super::frame::{Frame, Heatmap, Map, NOT_STATED, Origin};
use super::super::{RenderError, axis};
use super::overlays::{Overlays, Whose};
use super::packed::{Cell, Moment, Owner, Packed, Place};
use super::{MOST_CELLS, MOST_PICTURES, Rows, Selection};

/// The rows of the result that count, in the order of time, price, side, whose they are and leverage, so that sums do not
/// depend on the order in which they came.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    is_map: bool,
    pub(super) packed: Packed,
    /// The rows that count, by position. `None` is all, as they stand.
    chosen: Option<Vec<u32>>,
    /// Beside the moments and the places of the packed rows, whether any row that counts is of it.
    used_moments: Vec<bool>,
    used_places: Vec<bool>,
    /// Rows with nulls, beside the owners.
    ignored: Vec<usize>,
}

/// A row that counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row {
    /// Position of its moment.
    pub(super) moment: usize,
    /// Position of its place.
    pub(super) place: usize,
    pub(super) usd: f64,
}

impl Cells {
    pub(super) fn read(result: &Rows, is_map: bool, selection: &Selection) -> Result<Self, RenderError> {
        let mut cells = Self::of(Packed::read(&result.batches, is_map)?, is_map);
        cells.check()?;
        cells.select(selection)?;
        cells.sort();
        Ok(cells)
    }

    fn of(packed: Packed, is_map: bool) -> Self {
        let mut cells = Self {
            is_map,
            chosen: None,
            used_moments: Vec::new(),
            used_places: Vec::new(),
            ignored: vec![0; packed.owners.len()],
            packed,
        };
        if !cells.packed.places.iter().all(Place::is_complete) {
            for place in cells.packed.place.iter().filter_map(|place| cells.packed.places.get(*place as usize)) {
                if !place.is_complete() {
                    cells.ignored[place.owner as usize] += 1;
                }
            }
            cells.choose(|packed, row| packed.places[row.place].is_complete());
        }
        cells.note_used();
        cells
    }

    /// How many rows count.
    pub(super) fn len(&self) -> usize {
        self.chosen.as_ref().map_or(self.packed.usd.len(), Vec::len)
    }

    /// The position of a row among the packed ones.
    fn position(&self, index: usize) -> usize {
        self.chosen.as_ref().map_or(index, |chosen| chosen[index] as usize)
    }

    fn row(&self, index: usize) -> Row {
        packed_row(&self.packed, self.position(index))
    }

    /// The rows that count, in their order.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row> {
        (0..self.len()).map(|index| self.row(index))
    }

    /// As [`Cells::rows`], as they came.
    pub(super) fn cells(&self) -> impl Iterator<Item = Cell> {
        (0..self.len()).filter_map(|index| self.packed.cell(self.position(index)))
    }

    /// The moments of the rows that count, and their positions.
    pub(super) fn moments(&self) -> impl Iterator<Item = (usize, &Moment)> {
        let moments = self.packed.moments.iter().zip(&self.used_moments).enumerate();
        moments.filter(|(_, (_, is_used))| **is_used).map(|(position, (moment, _))| (position, moment))
    }

    /// The places of the rows that count, and their positions.
    pub(super) fn places(&self) -> impl Iterator<Item = (usize, &Place)> {
        let places = self.packed.places.iter().zip(&self.used_places).enumerate();
        places.filter(|(_, (_, is_used))| **is_used).map(|(position, (place, _))| (position, place))
    }

    /// Leaves only these rows of those that count.
    fn choose(&mut self, is_wanted: impl Fn(&Packed, Row) -> bool) {
        let chosen = (0..self.len()).filter(|index| is_wanted(&self.packed, self.row(*index)));
        // Of more rows nothing is packed.
        self.chosen = Some(chosen.map(|index| self.position(index) as u32).collect());
    }

    fn note_used(&mut self) {
        let mut moments = vec![false; self.packed.moments.len()];
        let mut places = vec![false; self.packed.places.len()];
        for row in self.rows() {
            moments[row.moment] = true;
            places[row.place] = true;
        }
        (self.used_moments, self.used_places) = (moments, places);
    }

    fn check(&self) -> Result<(), RenderError> {
        let total = self.packed.usd.len();
        if total == 0 {
            return Err(RenderError::Empty { reason: "the result has no rows".to_string() });
        }
        if self.len() == 0 {
            let reason = format!("'notional_usd', 'side', 'ts' or a price is null in all {total} rows");
            return Err(RenderError::Empty { reason });
        }
        if self.rows().all(|row| row.usd == 0.0) {
            let reason = format!("'notional_usd' is zero in all {} rows", self.len());
            return Err(RenderError::Empty { reason });
        }
        Ok(())
    }

    fn select(&mut self, selection: &Selection) -> Result<(), RenderError> {
        let instants = || self.moments().filter_map(|(_, moment)| moment.ts);
        let (Some(range), Some(first), Some(last)) = (selection.range, instants().min(), instants().max()) else {
            return Ok(());
        };
        let is_within = |moment: &Moment| moment.ts.is_none_or(|ts| range.contains(ts, last));
        let is_wanted: Vec<bool> = self.packed.moments.iter().map(is_within).collect();
        self.choose(|_, row| is_wanted[row.moment]);
        if self.rows().all(|row| row.usd == 0.0) {
            let reason =
                format!("no row within {}, the rows are of {} UTC", range.label(), axis::instants(first, last));
            return Err(RenderError::Empty { reason });
        }
        self.note_used();
        Ok(())
    }

    fn sort(&mut self) {
        let owners = &self.packed.owners;
        let owner_ranks = ranks(owners.len(), |a, b| owners[a].cmp(&owners[b]));
        let owner = |place: &Place| owner_ranks[place.owner as usize];
        let moments = &self.packed.moments;
        let instants: BTreeSet<Option<i64>> = moments.iter().map(|moment| moment.ts).collect();
        let instants: BTreeMap<Option<i64>, u32> = instants.into_iter().zip(0..).collect();
        let moments: Vec<u32> = moments.iter().map(|moment| instants[&moment.ts]).collect();
        let places = &self.packed.places;
        let places = ranks(places.len(), |a, b| {
            let (a, b) = (&places[a], &places[b]);
            let ((low_a, high_a), (low_b, high_b)) = (a.edges(), b.edges());
            let leverage = |place: &Place| place.leverage().unwrap_or_default();
            (low_a.total_cmp(&low_b))
                .then(high_a.total_cmp(&high_b))
                .then(a.side().cmp(&b.side()))
                .then(owner(a).cmp(&owner(b)))
                .then(leverage(a).total_cmp(&leverage(b)))
        });
        let rank = |row: Row| (moments[row.moment], places[row.place]);
        if (1..self.len()).all(|index| rank(self.row(index - 1)) <= rank(self.row(index))) {
            return;
        }
        let mut chosen = self.chosen.take().unwrap_or_else(|| (0..self.packed.usd.len() as u32).collect());
        let row = |position: &u32| packed_row(&self.packed, *position as usize);
        let instant = |position: &u32| moments[row(position).moment];
        // Rows mostly come by time, and only those of one instant are out of order.
        chosen.sort_unstable_by_key(instant);
        for same in chosen.chunk_by_mut(|a, b| instant(a) == instant(b)) {
            same.sort_unstable_by_key(|position| places[row(position).place]);
        }
        self.chosen = Some(chosen);
    }

    /// The owners of the rows that are left.
    fn used(&self) -> impl Iterator<Item = &Owner> {
        let mut is_used = vec![false; self.packed.owners.len()];
        for (_, place) in self.places() {
            is_used[place.owner as usize] = true;
        }
        self.packed.owners.iter().zip(is_used).filter(|(_, is_used)| *is_used).map(|(owner, _)| owner)
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
                if part.rows().any(|row| row.usd > 0.0) {
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
        let owners = &self.packed.owners;
        let is_wanted: Vec<bool> = owners.iter().map(is_wanted).collect();
        // A row that was left out need not say whose it is.
        let may_be = |own: &Option<String>, name: &Option<String>| own.is_none() || own == name;
        let is_ignored = |owner: &Owner| {
            may_be(&owner.symbol, symbol)
                && may_be(&owner.model, model)
                && exchange.is_none_or(|exchange| may_be(&owner.exchange, exchange))
        };
        let mut part = self.clone();
        for (owner, count) in owners.iter().zip(&mut part.ignored) {
            *count = if is_ignored(owner) { *count } else { 0 };
        }
        if self.places().any(|(_, place)| !is_wanted[place.owner as usize]) {
            part.choose(|packed, row| is_wanted[packed.places[row.place].owner as usize]);
            part.note_used();
        }
        part
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
        let instant = |row: Row| self.packed.moments[row.moment].ts;
        let key = |row: Row| {
            let place = &self.packed.places[row.place];
            (place.side(), place.owner, place.edges(), place.leverage())
        };
        let is_same = |a: Row, b: Row| instant(a) == instant(b) && (a.place == b.place || key(a) == key(b));
        // They are sorted by all of these.
        let twice = (1..self.len()).find(|index| is_same(self.row(index - 1), self.row(*index)));
        match twice.and_then(|index| self.packed.cell(self.position(index - 1))) {
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

#[inline]
fn packed_row(packed: &Packed, position: usize) -> Row {
    Row { moment: packed.moment[position] as usize, place: packed.place[position] as usize, usd: packed.usd[position] }
}

/// Where each of so many things stands in order.
fn ranks(count: usize, compare: impl Fn(usize, usize) -> Ordering) -> Vec<u32> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by(|a, b| compare(*a, *b));
    let mut ranks = vec![0; count];
    for (rank, position) in (0..).zip(order) {
        ranks[position] = rank;
    }
    ranks
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

    use super::super::super::frame::PoolSide;
    use super::super::super::samples::{self, numbers, words};
    use super::super::packed::Packing;
    use super::*;

    pub(in super::super) fn cell(ts: i64, low: f64, high: f64, side: PoolSide, usd: f64) -> Cell {
        let (price, cumulative_usd, distance, leverage) = (None, None, None, None);
        Cell { ts: Some(ts), low, high, side, usd, price, cumulative_usd, distance, leverage, owner: 0 }
    }

    /// Rows of as many exchanges as are named.
    pub(in super::super) fn cells_of(exchanges: &[Option<&str>], rows: Vec<Cell>) -> Cells {
        // Sums are kept of maps alone.
        let is_map = rows.iter().any(|row| row.cumulative_usd.is_some());
        let mut packing = Packing::new(is_map);
        for exchange in exchanges {
            packing.position(Owner { exchange: exchange.map(str::to_owned), ..Owner::default() }).unwrap();
        }
        for row in rows {
            packing.add(row).unwrap();
        }
        let mut cells = Cells::of(packing.finish(), is_map);
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
