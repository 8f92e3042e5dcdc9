//! Rows of a heatmap or a map to the grid, or to the price rows, of a frame.
//!
//! A bucket wider than the smallest one is spread over the rows it covers in proportion, so that the sum over a column is
//! what the rows say.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::{Array, Float64Array, RecordBatch, StringArray};

use super::super::frame::{Band, Frame, Heatmap, Layer, LayeredBy, Map, MapRow, Origin, PriceAxis, Sides, TimeAxis};
use super::super::{RenderError, axis};
use super::overlays::{Overlays, Whose};
use super::{LARGEST_PRICE, LARGEST_USD, LATEST_MS, MOST_CELLS, MOST_PICTURES, Rows, Selection, columns, is_price};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Long,
    Short,
}

/// A row of the result.
#[derive(Debug, Clone, Copy)]
struct Cell {
    ts: Option<i64>,
    low: f64,
    high: f64,
    side: Side,
    usd: f64,
    price: Option<f64>,
    cumulative_usd: Option<f64>,
    distance: Option<f64>,
    leverage: Option<f64>,
    /// Position of its owner.
    owner: usize,
}

/// Whose row it is, as far as it says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
struct Owner {
    symbol: Option<String>,
    model: Option<String>,
    exchange: Option<String>,
}

/// The rows of the result, checked.
#[derive(Debug)]
pub(super) struct Cells {
    is_map: bool,
    rows: Vec<Cell>,
    owners: Vec<Owner>,
    /// Where an owner stands among them.
    positions: BTreeMap<Owner, usize>,
    ignored_rows: usize,
}

impl Cells {
    pub(super) fn read(result: &Rows, is_map: bool, selection: &Selection) -> Result<Self, RenderError> {
        let total = result.batches.iter().map(RecordBatch::num_rows).sum();
        let mut cells = Self {
            is_map,
            rows: Vec::with_capacity(total),
            owners: Vec::new(),
            positions: BTreeMap::new(),
            ignored_rows: 0,
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
        let price = columns::optional_number(batch, "price")?;
        let cumulative = columns::optional_number(batch, "cumulative_usd")?;
        let distance = columns::optional_number(batch, "distance")?;
        let leverage = columns::optional_number(batch, "leverage")?;
        let owners = [
            columns::optional_text(batch, "symbol")?,
            columns::optional_text(batch, "model")?,
            columns::optional_text(batch, "exchange")?,
        ];
        let mut owner = None;
        for row in 0..batch.num_rows() {
            let ts_value = ts.as_ref().filter(|ts| ts.is_valid(row)).map(|ts| ts.value(row));
            let is_incomplete = ts.is_some() && ts_value.is_none()
                || usd.is_null(row)
                || low.is_null(row)
                || high.is_null(row)
                || side.is_null(row);
            if is_incomplete {
                self.ignored_rows += 1;
                continue;
            }
            let current = self.owner(&owners, row, owner);
            owner = Some(current);
            let edges = bucket(&low, &high, row)?;
            let cell = Cell {
                ts: ts_value,
                low: edges.0,
                high: edges.1,
                side: side_at(&side, row)?,
                usd: bounded(&usd, row, "notional_usd", 0.0, LARGEST_USD)?,
                price: columns::value(price.as_ref(), row).filter(is_price),
                cumulative_usd: columns::value(cumulative.as_ref(), row)
                    .filter(|usd| (0.0..=LARGEST_USD).contains(usd)),
                distance: columns::value(distance.as_ref(), row),
                leverage: columns::value(leverage.as_ref(), row)
                    .filter(|leverage| leverage.is_finite() && *leverage > 0.0),
                owner: current,
            };
            if let Some(ts) = ts_value.filter(|ts| ts.unsigned_abs() > LATEST_MS) {
                return Err(RenderError::ColumnValue {
                    column: "ts".to_string(),
                    allowed: "instants within 31,000 years of 1970".to_string(),
                    was: format!("{ts} ms"),
                });
            }
            self.rows.push(cell);
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

    /// The different values of one of the owners' names.
    fn names(&self, of: impl Fn(&Owner) -> Option<&String>) -> Vec<String> {
        let mut is_used = vec![false; self.owners.len()];
        for row in &self.rows {
            is_used[row.owner] = true;
        }
        let used = self.owners.iter().zip(is_used).filter(|(_, is_used)| *is_used);
        used.filter_map(|(owner, _)| of(owner).cloned()).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// One picture of all rows.
    pub(super) fn into_frame(self, overlays: &Overlays<'_>, origin: &Origin) -> Result<Frame, RenderError> {
        let symbols = self.names(|owner| owner.symbol.as_ref());
        if symbols.len() > 1 {
            return Err(RenderError::SeveralSymbols { symbols });
        }
        let models = self.names(|owner| owner.model.as_ref());
        if models.len() > 1 {
            return Err(RenderError::SeveralModels { models });
        }
        self.framed(overlays, origin, symbols.into_iter().next(), models.into_iter().next(), false)
    }

    /// A picture of every symbol, model and exchange; of several exchanges their sum first.
    pub(super) fn into_frames(self, overlays: &Overlays<'_>, origin: &Origin) -> Result<Vec<Frame>, RenderError> {
        // The exchanges of each symbol and model.
        let mut groups: BTreeMap<_, BTreeSet<Option<String>>> = BTreeMap::new();
        for owner in &self.owners {
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
            let of = |exchange: Option<&Option<String>>| {
                let is_wanted: Vec<bool> = self
                    .owners
                    .iter()
                    .map(|owner| {
                        owner.symbol == symbol
                            && owner.model == model
                            && exchange.is_none_or(|exchange| owner.exchange == *exchange)
                    })
                    .collect();
                Self {
                    is_map: self.is_map,
                    rows: self.rows.iter().filter(|row| is_wanted[row.owner]).copied().collect(),
                    owners: self.owners.clone(),
                    positions: BTreeMap::new(),
                    ignored_rows: self.ignored_rows,
                }
            };
            let each = exchanges.iter().filter(|_| exchanges.len() > 1).map(Some);
            for exchange in [None].into_iter().chain(each) {
                let part = of(exchange);
                // A range may have left a group nothing.
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
        let mut exchanges = self.names(|owner| owner.exchange.as_ref());
        if exchanges.is_empty() {
            exchanges.extend(origin.exchange.clone());
        }
        let symbol = symbol.or(origin.symbol.clone());
        let whose = Whose { symbol: symbol.as_deref(), exchanges: &exchanges, model: model.as_deref() };
        if self.is_map {
            let mut map = self.map()?;
            map.pools = match map.at_ms {
                Some(at) => overlays.pools(whose, at..=at)?,
                None => Vec::new(),
            };
            origin.model = model.or(origin.model);
            return Ok(Frame::Map(Map { exchanges, symbol, origin, ..map }));
        }
        let mut heatmap = self.heatmap(with_bands)?;
        heatmap.candles = overlays.candles(whose, heatmap.time)?;
        heatmap.pools = overlays.pools(whose, heatmap.time.last_ms()..=heatmap.time.last_ms())?;
        for (current, candle) in heatmap.current.iter_mut().zip(&heatmap.candles) {
            *current = current.or(candle.map(|candle| candle.close));
        }
        origin.model = model.or(origin.model);
        Ok(Frame::Heatmap(Heatmap { exchanges, symbol, origin, ..heatmap }))
    }

    /// What two rows say of one bucket is either said twice or of two things; the sum would be wrong in both cases.
    fn check_distinct(&self) -> Result<(), RenderError> {
        let is_same = |a: &Cell, b: &Cell| {
            (a.ts, a.side, a.owner, a.low, a.high, a.leverage) == (b.ts, b.side, b.owner, b.low, b.high, b.leverage)
        };
        // They are sorted by all of these.
        match self.rows.windows(2).find(|pair| is_same(&pair[0], &pair[1])).map(|pair| &pair[0]) {
            Some(row) => Err(RenderError::Ambiguous {
                what: format!(
                    "the {}s between {} and {}{}",
                    if row.side == Side::Long { "long" } else { "short" },
                    axis::number(row.low),
                    axis::number(row.high),
                    row.ts.map(|ts| format!(" at {}", axis::instant(ts))).unwrap_or_default(),
                ),
                advice: "sum them with GROUP BY, filter with WHERE, or add the column that tells them apart ('exchange', \
                         'model', 'leverage')",
            }),
            None => Ok(()),
        }
    }

    fn heatmap(&self, with_bands: bool) -> Result<Heatmap, RenderError> {
        let instants: BTreeSet<i64> = self.rows.iter().filter_map(|row| row.ts).collect();
        let (time_step, columns) = time_steps(&instants);
        let (low, price_step, rows) = price_steps(&self.rows);
        let leverages = if with_bands { Leverages::of(&self.rows) } else { Leverages::default() };
        let grids = 1 + leverages.names.len() as u64;
        // A wide bucket is written to all rows that it covers.
        let covered: f64 = self.rows.iter().map(|row| (row.high - row.low) / price_step).sum();
        let is_too_much = covered * grids as f64 > 4.0 * MOST_CELLS as f64;
        let cells = columns.checked_mul(rows).and_then(|cells| cells.checked_mul(grids));
        if is_too_much || cells.is_none_or(|cells| cells > MOST_CELLS) {
            return Err(RenderError::TooManyCells { columns, time_step: axis::duration(time_step), rows, price_step });
        }
        let time =
            TimeAxis { first_ms: instants.first().copied().unwrap_or(0), step_ms: time_step, count: columns as usize };
        let price = PriceAxis { low, step: price_step, count: rows as usize };

        let mut cells = vec![0.0; time.count * price.count];
        let mut sides = vec![Sides::NONE; cells.len()];
        let mut bands: Vec<Band> = Vec::new();
        for name in &leverages.names {
            bands.push(Band { name: name.clone(), cells: vec![0.0; cells.len()] });
        }
        let mut is_present = vec![false; time.count];
        let mut last_usd = (0.0, 0.0);
        // Each exchange repeats its price on every row of a frame: the mean is over distinct prices.
        let mut prices: BTreeMap<usize, BTreeSet<u64>> = BTreeMap::new();
        for row in &self.rows {
            let Some(column) = row.ts.and_then(|ts| time.column(ts)) else {
                continue;
            };
            is_present[column] = true;
            let within = column * price.count..(column + 1) * price.count;
            let side = if row.side == Side::Long { Sides::LONG } else { Sides::SHORT };
            spread(price, row, |index, usd| {
                if let Some(cell) = cells[within.clone()].get_mut(index) {
                    *cell += usd;
                    if usd > 0.0 {
                        let sides = &mut sides[within.start + index];
                        *sides = sides.with(side);
                    }
                }
            });
            if let Some(band) = row.leverage.and_then(|leverage| bands.get_mut(leverages.position(leverage))) {
                spread(price, row, |index, usd| {
                    if let Some(cell) = band.cells[within.clone()].get_mut(index) {
                        *cell += usd;
                    }
                });
            }
            if column + 1 == time.count {
                match row.side {
                    Side::Long => last_usd.0 += row.usd,
                    Side::Short => last_usd.1 += row.usd,
                }
            }
            if let Some(price) = row.price {
                prices.entry(column).or_default().insert(price.to_bits());
            }
        }
        let mut current = vec![None; time.count];
        for (column, prices) in prices {
            let sum: f64 = prices.iter().map(|&bits| f64::from_bits(bits)).sum();
            current[column] = Some(sum / prices.len() as f64);
        }
        let max_usd = cells.iter().copied().fold(0.0, f64::max);
        Ok(Heatmap {
            time,
            price,
            cells,
            sides,
            bands,
            is_present,
            current,
            max_usd,
            last_usd,
            ignored_rows: self.ignored_rows,
            ..Heatmap::default()
        })
    }

    fn map(self) -> Result<Map, RenderError> {
        let instants: BTreeSet<i64> = self.rows.iter().filter_map(|row| row.ts).collect();
        if let (Some(&first), Some(&last)) = (instants.first(), instants.last())
            && instants.len() > 1
        {
            return Err(RenderError::SeveralInstants {
                count: instants.len(),
                first: axis::instant(first),
                last: axis::instant(last),
            });
        }
        // The stated sums are each of one exchange or leverage, even where no bucket is shared.
        let first = self.rows.first().map(|row| (row.owner, row.leverage.map(f64::to_bits)));
        let is_summed = self.rows.iter().any(|row| Some((row.owner, row.leverage.map(f64::to_bits))) != first);
        let current = current_price(&self.rows);
        let leverages = Leverages::of(&self.rows);
        let exchanges = self.names(|owner| owner.exchange.as_ref());
        let (layered_by, names) = if !leverages.names.is_empty() {
            (LayeredBy::Leverage, leverages.names.clone())
        } else if exchanges.len() > 1 {
            (LayeredBy::Exchange, exchanges)
        } else {
            (LayeredBy::Nothing, Vec::new())
        };
        let layer_of = |cell: &Cell| match layered_by {
            LayeredBy::Nothing => None,
            LayeredBy::Leverage => cell.leverage.map(|leverage| leverages.position(leverage)),
            LayeredBy::Exchange => {
                let exchange = self.owners.get(cell.owner).and_then(|owner| owner.exchange.as_ref())?;
                names.iter().position(|name| name == exchange)
            }
        };

        let mut rows: Vec<MapRow> = Vec::new();
        let mut layers: Vec<Layer> = names.iter().map(|name| Layer { name: name.clone(), usd: Vec::new() }).collect();
        for cell in &self.rows {
            if rows.last().is_none_or(|row| (row.low, row.high) != (cell.low, cell.high)) {
                rows.push(MapRow {
                    low: cell.low,
                    high: cell.high,
                    long_usd: 0.0,
                    short_usd: 0.0,
                    cumulative_long_usd: None,
                    cumulative_short_usd: None,
                });
                for layer in &mut layers {
                    layer.usd.push(0.0);
                }
            }
            let Some(row) = rows.last_mut() else { continue };
            match cell.side {
                Side::Long => {
                    row.long_usd += cell.usd;
                    row.cumulative_long_usd = cell.cumulative_usd;
                }
                Side::Short => {
                    row.short_usd += cell.usd;
                    row.cumulative_short_usd = cell.cumulative_usd;
                }
            }
            if let Some(sum) =
                layer_of(cell).and_then(|layer| layers.get_mut(layer)).and_then(|layer| layer.usd.last_mut())
            {
                *sum += cell.usd;
            }
        }
        if is_summed {
            accumulate(&mut rows);
        }
        Ok(Map {
            at_ms: instants.first().copied(),
            current,
            rows,
            layers,
            layered_by,
            ignored_rows: self.ignored_rows,
            ..Map::default()
        })
    }
}

/// The leverages of rows: each by itself, or in bands where there are many.
#[derive(Debug, Default)]
struct Leverages {
    /// Lower bounds, ascending.
    floors: Vec<f64>,
    names: Vec<String>,
}

/// As the legend of a map can tell apart by colour.
const MOST_LEVERAGES: usize = 6;
/// The lower bounds of the leverage bands L5 to L1.
const BANDS: [(f64, &str); 5] = [(0.0, "<10x"), (10.0, "10–24x"), (25.0, "25–49x"), (50.0, "50–99x"), (100.0, "≥100x")];

impl Leverages {
    fn of(rows: &[Cell]) -> Self {
        let found: BTreeSet<u64> = rows
            .iter()
            .filter_map(|row| row.leverage)
            .map(f64::to_bits) // Positive numbers are ordered as their bits are.
            .collect();
        let found: Vec<f64> = found.into_iter().map(f64::from_bits).collect();
        let mut each = Self::default();
        for leverage in &found {
            let name = format!("{}x", axis::number(*leverage));
            // What is written alike is one.
            if each.names.last() != Some(&name) {
                each.floors.push(*leverage);
                each.names.push(name);
            }
        }
        if each.names.len() <= MOST_LEVERAGES {
            return each;
        }
        let mut bands = Self::default();
        for (index, (floor, name)) in BANDS.iter().enumerate() {
            let end = BANDS.get(index + 1).map_or(f64::INFINITY, |(floor, _)| *floor);
            if found.iter().any(|leverage| *leverage >= *floor && *leverage < end) {
                bands.floors.push(*floor);
                bands.names.push((*name).to_owned());
            }
        }
        bands
    }

    fn position(&self, leverage: f64) -> usize {
        self.floors.iter().rposition(|floor| leverage >= *floor).unwrap_or(0)
    }
}

fn accumulate(rows: &mut [MapRow]) {
    let mut sum = 0.0;
    for row in rows.iter_mut().rev().filter(|row| row.long_usd > 0.0) {
        sum += row.long_usd;
        row.cumulative_long_usd = Some(sum);
    }
    sum = 0.0;
    for row in rows.iter_mut().filter(|row| row.short_usd > 0.0) {
        sum += row.short_usd;
        row.cumulative_short_usd = Some(sum);
    }
}

/// The mean of the stated prices, else the price from which the distances are measured, else the middle of the sides.
fn current_price(rows: &[Cell]) -> Option<f64> {
    let stated: BTreeSet<u64> = rows.iter().filter_map(|row| row.price).map(f64::to_bits).collect();
    if !stated.is_empty() {
        return Some(stated.iter().map(|&bits| f64::from_bits(bits)).sum::<f64>() / stated.len() as f64);
    }
    let nearest = rows
        .iter()
        .filter_map(|row| row.distance.filter(|distance| *distance > -1.0).map(|distance| (distance, row)))
        .min_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
    if let Some((distance, row)) = nearest {
        return Some((row.low + row.high) / 2.0 / (1.0 + distance)).filter(is_price);
    }
    let longs = rows.iter().filter(|row| row.side == Side::Long).map(|row| row.high).reduce(f64::max);
    let shorts = rows.iter().filter(|row| row.side == Side::Short).map(|row| row.low).reduce(f64::min);
    match (longs, shorts) {
        (Some(below), Some(above)) => Some((below + above) / 2.0),
        (one, other) => one.or(other),
    }
}

/// The smallest difference of two instants, and the columns needed to place them all.
fn time_steps(instants: &BTreeSet<i64>) -> (i64, u64) {
    let (Some(&first), Some(&last)) = (instants.first(), instants.last()) else {
        return (1, 0);
    };
    let step = instants
        .iter()
        .zip(instants.iter().skip(1))
        .map(|(earlier, later)| later.saturating_sub(*earlier))
        .min()
        // One frame alone says nothing about its step; an hour is what a heatmap has by default.
        .unwrap_or(3_600_000)
        .max(1);
    (step, (last.abs_diff(first) / step.unsigned_abs()).saturating_add(1))
}

/// The lowest price, the smallest bucket and the number of rows that cover all buckets.
fn price_steps(rows: &[Cell]) -> (f64, f64, u64) {
    let low = rows.iter().map(|row| row.low).fold(f64::INFINITY, f64::min);
    let high = rows.iter().map(|row| row.high).fold(f64::NEG_INFINITY, f64::max);
    let step = rows.iter().map(|row| row.high - row.low).fold(f64::INFINITY, f64::min);
    let count = (high - low) / step;
    // Edges are computed prices: they are a whole number of steps apart only up to rounding.
    if (count - count.round()).abs() < SNAP {
        (low, (high - low) / count.round(), count.round() as u64)
    } else {
        (low, step, count.ceil() as u64)
    }
}

/// Parts of a row by which an edge may miss the grid and still be meant to lie on it.
const SNAP: f64 = 1e-3;

/// Parts a bucket over the rows of the grid that it covers, in proportion.
fn spread(axis: PriceAxis, cell: &Cell, mut add: impl FnMut(usize, f64)) {
    let snapped = |price: f64| {
        let edge = (price - axis.low) / axis.step;
        if (edge - edge.round()).abs() < SNAP { edge.round() } else { edge }
    };
    let (from, to) = (snapped(cell.low), snapped(cell.high));
    let width = to - from;
    for row in from.floor().max(0.0) as usize..to.ceil() as usize {
        let covered = to.min(row as f64 + 1.0) - from.max(row as f64);
        add(row, if width > 0.0 { cell.usd * (covered / width) } else { cell.usd });
    }
}

/// The edges of a bucket of prices.
pub(super) fn bucket(low: &Float64Array, high: &Float64Array, row: usize) -> Result<(f64, f64), RenderError> {
    let low = bounded(low, row, "price_low", 0.0, LARGEST_PRICE)?;
    let high = bounded(high, row, "price_high", 0.0, LARGEST_PRICE)?;
    if high > low {
        return Ok((low, high));
    }
    Err(RenderError::ColumnValue {
        column: "price_high".to_string(),
        allowed: format!("a price above 'price_low' ({low})"),
        was: high.to_string(),
    })
}

pub(super) fn bounded(
    column: &Float64Array,
    row: usize,
    name: &str,
    least: f64,
    most: f64,
) -> Result<f64, RenderError> {
    let value = column.value(row);
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(RenderError::ColumnValue {
        column: name.to_string(),
        allowed: format!("numbers from {least} to {most:e}"),
        was: value.to_string(),
    })
}

pub(super) fn side_at(column: &StringArray, row: usize) -> Result<Side, RenderError> {
    match column.value(row) {
        "long" => Ok(Side::Long),
        "short" => Ok(Side::Short),
        other => Err(RenderError::ColumnValue {
            column: "side".to_string(),
            allowed: "'long' or 'short'".to_string(),
            was: format!("'{other}'"),
        }),
    }
}

pub(super) fn insert_name(names: &mut BTreeSet<String>, name: Option<&str>) {
    // Millions of rows repeat a handful of names: allocate only for new ones.
    if let Some(name) = name
        && !names.contains(name)
    {
        names.insert(name.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(ts: i64, low: f64, high: f64, side: Side, usd: f64) -> Cell {
        let (price, cumulative_usd, distance, leverage) = (None, None, None, None);
        Cell { ts: Some(ts), low, high, side, usd, price, cumulative_usd, distance, leverage, owner: 0 }
    }

    fn cells(rows: Vec<Cell>) -> Cells {
        let positions = BTreeMap::new();
        let mut cells = Cells { is_map: false, rows, owners: vec![Owner::default()], positions, ignored_rows: 0 };
        cells.sort();
        cells
    }

    #[test]
    fn missing_instants_are_gaps() {
        let heatmap = cells(vec![
            cell(0, 100.0, 101.0, Side::Long, 1.0),
            cell(10, 100.0, 101.0, Side::Long, 2.0),
            cell(30, 102.0, 103.0, Side::Short, 3.0),
        ])
        .heatmap(true)
        .unwrap();
        assert_eq!(heatmap.time, TimeAxis { first_ms: 0, step_ms: 10, count: 4 });
        assert_eq!(heatmap.price, PriceAxis { low: 100.0, step: 1.0, count: 3 });
        assert_eq!(heatmap.is_present, [true, true, false, true]);
        assert_eq!(heatmap.cells, [1.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0]);
        assert_eq!(heatmap.last_usd, (0.0, 3.0));
        assert_eq!((heatmap.sides[0], heatmap.sides[11], heatmap.sides[1]), (Sides::LONG, Sides::SHORT, Sides::NONE));
    }

    #[test]
    fn a_wide_bucket_is_spread_and_its_sum_is_kept() {
        let heatmap = cells(vec![cell(0, 100.0, 101.0, Side::Long, 1.0), cell(0, 100.5, 102.5, Side::Long, 8.0)])
            .heatmap(true)
            .unwrap();
        assert_eq!(heatmap.cells, [3.0, 4.0, 2.0]);
    }

    #[test]
    fn buckets_of_a_tenth_of_a_cent_land_in_their_row() {
        let rows = (0..1_000)
            .map(|k| cell(0, f64::from(k) * 1e-3, f64::from(k + 1) * 1e-3, Side::Long, f64::from(k)))
            .collect();
        let heatmap = cells(rows).heatmap(true).unwrap();
        assert_eq!(heatmap.price.count, 1_000);
        assert!(heatmap.cells.iter().enumerate().all(|(k, &usd)| usd == k as f64));
    }

    #[test]
    fn several_exchanges_of_a_map_are_accumulated_anew() {
        let mut both = cells(vec![
            cell(0, 98.0, 99.0, Side::Long, 1.0),
            cell(0, 99.0, 100.0, Side::Long, 2.0),
            Cell { owner: 1, ..cell(0, 99.0, 100.0, Side::Long, 4.0) },
            cell(0, 101.0, 102.0, Side::Short, 8.0),
        ]);
        both.owners.push(Owner { exchange: Some("b".to_owned()), ..Owner::default() });
        let map = both.map().unwrap();
        assert_eq!(
            map.rows.iter().map(|row| row.cumulative_long_usd).collect::<Vec<_>>(),
            [Some(7.0), Some(6.0), None]
        );
        assert_eq!(map.rows[2].cumulative_short_usd, Some(8.0));
        assert_eq!(map.current, Some(100.5));
    }

    #[test]
    fn curves_of_several_exchanges_are_summed_even_where_they_share_no_bucket() {
        let of = |owner: usize, low: f64, usd: f64, sum: f64| Cell {
            owner,
            cumulative_usd: Some(sum),
            ..cell(0, low, low + 1.0, Side::Long, usd)
        };
        let mut both = cells(vec![of(0, 99.0, 1.0, 1.0), of(1, 98.0, 2.0, 2.0), of(0, 97.0, 4.0, 5.0)]);
        both.owners = ["a", "b"].map(|name| Owner { exchange: Some(name.to_owned()), ..Owner::default() }).to_vec();
        let map = both.map().unwrap();
        let sums: Vec<_> = map.rows.iter().map(|row| row.cumulative_long_usd).collect();
        assert_eq!(sums, [Some(7.0), Some(3.0), Some(1.0)]);
    }

    #[test]
    fn a_grid_that_does_not_fit_is_refused() {
        let error = cells(vec![
            cell(0, 100.0, 101.0, Side::Long, 1.0),
            cell(1, 100.0, 101.0, Side::Long, 1.0),
            cell(3_600_000_000, 100.0, 101.0, Side::Long, 1.0),
        ])
        .heatmap(true)
        .unwrap_err();
        assert!(error.to_string().contains("3600000001 time buckets of 1 ms"), "{error}");
    }
}
