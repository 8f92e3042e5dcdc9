//! Rows of heatmaps, maps and pools in 16 bytes each: what many rows repeat is kept once and numbered.
//!
//! ```text
//! ts     price   side  price_low price_high exchange notional_usd        moment place USD
//! 00:00  97,450  long  97,000    97,100     binance  1.2e6                  0     0   1.2e6
//! 00:00  97,450  short 98,000    98,100     binance  4.0e5          ──►     0     1   4.0e5
//! 01:00  97,520  long  97,000    97,100     binance  1.1e6                  1     0   1.1e6
//! ```
//!
//! Here rows are checked: a value that has no place in a picture is an error that names its column. Rows with a null in
//! what is needed keep their moment and whose they are, so that they can be counted.
//!
//! Packed rows are a record batch again, in which all that belongs to the moment are dictionaries with the same keys, and
//! likewise all that belongs to the place. So any reader of record batches can read them; [`Packed::of_batch`] takes them
//! up as they are.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float64Array, PrimitiveArray, RecordBatch, StringArray, StringViewArray,
    TimestampMillisecondArray,
};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{Float64Type, UInt32Type};
use arrow::error::ArrowError;

use super::super::RenderError;
use super::super::frame::{LARGEST_VALUE, PoolSide};
use super::{columns, leverages};

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
    pub(super) owner: u32,
}

/// Whose row it is, as far as it says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Owner {
    pub(super) symbol: Option<String>,
    pub(super) model: Option<String>,
    pub(super) exchange: Option<String>,
}

/// A number by its bits: equal if it is the same to the last bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Exact(u64);

impl Exact {
    fn of(number: f64) -> Self {
        Self(number.to_bits())
    }

    fn get(self) -> f64 {
        f64::from_bits(self.0)
    }
}

/// What the rows of one instant repeat. Sums and distances are kept of maps alone, where they are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Moment {
    pub(super) ts: Option<i64>,
    price: Option<Exact>,
    cumulative_usd: Option<Exact>,
    distance: Option<Exact>,
}

impl Moment {
    pub(super) fn price(&self) -> Option<f64> {
        self.price.map(Exact::get)
    }
}

/// What a cell repeats from instant to instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    /// Position of its owner.
    pub(super) owner: u32,
    /// `None` for rows with a null in what is needed.
    bucket: Option<Bucket>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Bucket {
    low: Exact,
    high: Exact,
    is_long: bool,
    leverage: Option<Exact>,
}

impl Place {
    pub(super) fn is_complete(&self) -> bool {
        self.bucket.is_some()
    }

    /// The lower and the upper edge; of an incomplete row an empty range.
    pub(super) fn edges(&self) -> (f64, f64) {
        self.bucket.map_or((0.0, 0.0), |bucket| (bucket.low.get(), bucket.high.get()))
    }

    pub(super) fn side(&self) -> PoolSide {
        if self.bucket.is_some_and(|bucket| bucket.is_long) { PoolSide::Long } else { PoolSide::Short }
    }

    pub(super) fn leverage(&self) -> Option<f64> {
        self.bucket.and_then(|bucket| bucket.leverage).map(Exact::get)
    }
}

/// Values in the order of their numbers, and the number of each.
#[derive(Debug)]
struct Numbered<T> {
    values: Vec<T>,
    numbers: HashMap<T, u32>,
    /// Beside each value the number of the one that came after it last.
    followers: Vec<u32>,
    last: u32,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self { values: Vec::new(), numbers: HashMap::new(), followers: Vec::new(), last: 0 }
    }
}

impl<T: Copy + Eq + Hash> Numbered<T> {
    /// The number of a value.
    ///
    /// Rows repeat the moment of the row before, and cells follow each other as they did an instant ago: most numbers are
    /// found without a search.
    fn number(&mut self, value: T) -> Result<u32, RenderError> {
        let is_it = |number: u32| self.values.get(number as usize) == Some(&value);
        if is_it(self.last) {
            return Ok(self.last);
        }
        let follower = self.followers.get(self.last as usize).copied();
        if let Some(follower) = follower.filter(|follower| is_it(*follower)) {
            self.last = follower;
            return Ok(follower);
        }
        let number = match self.numbers.get(&value) {
            Some(number) => *number,
            None => {
                let next = u32::try_from(self.values.len()).map_err(|_| too_many())?;
                self.values.push(value);
                self.followers.push(next);
                self.numbers.insert(value, next);
                next
            }
        };
        if let Some(follower) = self.followers.get_mut(self.last as usize) {
            *follower = number;
        }
        self.last = number;
        Ok(number)
    }
}

fn too_many() -> RenderError {
    ArrowError::MemoryError(format!("a picture is made of at most {} rows", u32::MAX)).into()
}

/// Packs rows, batch by batch.
#[derive(Debug, Default)]
pub(super) struct Packing {
    is_map: bool,
    moments: Numbered<Moment>,
    places: Numbered<Place>,
    owners: Vec<Owner>,
    /// Where an owner stands among them.
    positions: BTreeMap<Owner, u32>,
    moment: Vec<u32>,
    place: Vec<u32>,
    usd: Vec<f64>,
}

/// What is read of a cell that need not be there.
struct Optional<T> {
    price: T,
    cumulative_usd: T,
    distance: T,
    leverage: T,
}

impl Packing {
    pub(super) fn new(is_map: bool) -> Self {
        Self { is_map, ..Self::default() }
    }

    /// Rows so far.
    pub(super) fn len(&self) -> usize {
        self.usd.len()
    }

    /// Adds the rows of a batch, all or none.
    ///
    /// # Errors
    ///
    /// A column has an unusable type, or a row a value that has no place in a picture; of several the first.
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<(), RenderError> {
        let before = self.len();
        let outcome = self.push_rows(batch);
        if outcome.is_err() {
            self.moment.truncate(before);
            self.place.truncate(before);
            self.usd.truncate(before);
        }
        outcome
    }

    fn push_rows(&mut self, batch: &RecordBatch) -> Result<(), RenderError> {
        let ts = if !self.is_map || columns::has(batch, "ts") { Some(columns::time(batch, "ts")?) } else { None };
        let low = columns::number(batch, "price_low")?;
        let high = columns::number(batch, "price_high")?;
        let side = columns::text_views(batch, "side")?;
        let usd = columns::number(batch, "notional_usd")?;
        let optional = Optional {
            price: columns::optional_number(batch, "price")?,
            cumulative_usd: columns::optional_number(batch, "cumulative_usd")?,
            distance: columns::optional_number(batch, "distance")?,
            leverage: columns::optional_number(batch, "leverage")?,
        };
        let owners = owner_columns(batch)?;
        let mut owner = None;
        let mut side_before = None;
        for row in 0..batch.num_rows() {
            let current = match owner {
                Some(before) if row > 0 && owners.iter().flatten().all(|names| repeats(names, row)) => before,
                before => self.owner(&owners, row, before)?,
            };
            owner = Some(current);
            let is_incomplete = ts.as_ref().is_some_and(|ts| ts.is_null(row))
                || usd.is_null(row)
                || low.is_null(row)
                || high.is_null(row)
                || side.is_null(row);
            if is_incomplete {
                let ts = ts.as_ref().filter(|ts| ts.is_valid(row)).map(|ts| ts.value(row));
                self.add_incomplete(ts, current)?;
                continue;
            }
            let edges = columns::bucket(&low, &high, row)?;
            let within = |column, name, bounds| columns::optional_bounded(column, row, name, bounds);
            let side = match side_before {
                Some((before, known)) if before + 1 == row && repeats(&side, row) => known,
                _ => columns::side_of(side.value(row))?,
            };
            side_before = Some((row, side));
            self.add(Cell {
                ts: ts.as_ref().map(|ts| ts.value(row)),
                low: edges.0,
                high: edges.1,
                side,
                usd: columns::bounded(&usd, row, "notional_usd", 0.0..=LARGEST_VALUE)?,
                price: columns::optional_price(optional.price.as_ref(), row, "price")?,
                cumulative_usd: within(optional.cumulative_usd.as_ref(), "cumulative_usd", 0.0..=LARGEST_VALUE)?,
                distance: within(optional.distance.as_ref(), "distance", -1.0..=LARGEST_DISTANCE)?,
                leverage: leverages::stated(optional.leverage.as_ref(), row)?,
                owner: current,
            })?;
        }
        Ok(())
    }

    /// Adds a row that was checked.
    pub(super) fn add(&mut self, cell: Cell) -> Result<(), RenderError> {
        let of_maps = |number: Option<f64>| number.filter(|_| self.is_map).map(Exact::of);
        let moment = Moment {
            ts: cell.ts,
            price: cell.price.map(Exact::of),
            cumulative_usd: of_maps(cell.cumulative_usd),
            distance: of_maps(cell.distance),
        };
        let bucket = Bucket {
            low: Exact::of(cell.low),
            high: Exact::of(cell.high),
            is_long: cell.side == PoolSide::Long,
            leverage: cell.leverage.map(Exact::of),
        };
        self.add_packed(moment, Place { owner: cell.owner, bucket: Some(bucket) }, cell.usd)
    }

    fn add_incomplete(&mut self, ts: Option<i64>, owner: u32) -> Result<(), RenderError> {
        let moment = Moment { ts, price: None, cumulative_usd: None, distance: None };
        self.add_packed(moment, Place { owner, bucket: None }, 0.0)
    }

    fn add_packed(&mut self, moment: Moment, place: Place, usd: f64) -> Result<(), RenderError> {
        if self.usd.len() >= u32::MAX as usize {
            return Err(too_many());
        }
        let (moment, place) = (self.moments.number(moment)?, self.places.number(place)?);
        self.moment.push(moment);
        self.place.push(place);
        self.usd.push(usd);
        Ok(())
    }

    /// The position of a row's owner. Most rows have that of the row before.
    fn owner(
        &mut self,
        names: &[Option<StringViewArray>; 3],
        row: usize,
        before: Option<u32>,
    ) -> Result<u32, RenderError> {
        let [symbol, model, exchange] = names
            .each_ref()
            .map(|names| names.as_ref().filter(|names| names.is_valid(row)).map(|names| names.value(row)));
        let is_it = |owner: &Owner| {
            owner.symbol.as_deref() == symbol
                && owner.model.as_deref() == model
                && owner.exchange.as_deref() == exchange
        };
        if let Some(before) = before.filter(|before| self.owners.get(*before as usize).is_some_and(is_it)) {
            return Ok(before);
        }
        let [symbol, model, exchange] = [symbol, model, exchange].map(|name| name.map(str::to_owned));
        self.position(Owner { symbol, model, exchange })
    }

    /// The position of an owner, who is added if there is none like it.
    pub(super) fn position(&mut self, owner: Owner) -> Result<u32, RenderError> {
        if let Some(position) = self.positions.get(&owner) {
            return Ok(*position);
        }
        let next = u32::try_from(self.owners.len()).map_err(|_| too_many())?;
        self.positions.insert(owner.clone(), next);
        self.owners.push(owner);
        Ok(next)
    }

    pub(super) fn finish(self) -> Packed {
        Packed {
            moment: self.moment.into(),
            place: self.place.into(),
            usd: self.usd.into(),
            moments: self.moments.values,
            places: self.places.values,
            owners: self.owners,
        }
    }
}

/// The columns that say whose a row is.
fn owner_columns(batch: &RecordBatch) -> Result<[Option<StringViewArray>; 3], RenderError> {
    Ok([
        columns::optional_text_views(batch, "symbol")?,
        columns::optional_text_views(batch, "model")?,
        columns::optional_text_views(batch, "exchange")?,
    ])
}

/// Whether a row after the first has the text of the row before. Of two texts that are stored twice it may say no.
fn repeats(column: &StringViewArray, row: usize) -> bool {
    match (column.is_null(row), column.is_null(row - 1)) {
        (true, true) => true,
        (false, false) => column.views()[row] == column.views()[row - 1],
        _ => false,
    }
}

/// Rows that are packed. Cloning shares the rows.
#[derive(Debug, Clone)]
pub(super) struct Packed {
    /// Of each row the position of its moment.
    pub(super) moment: ScalarBuffer<u32>,
    /// Of each row the position of its place.
    pub(super) place: ScalarBuffer<u32>,
    /// Of each row what stands there.
    pub(super) usd: ScalarBuffer<f64>,
    pub(super) moments: Vec<Moment>,
    pub(super) places: Vec<Place>,
    pub(super) owners: Vec<Owner>,
}

impl Packed {
    /// Reads the rows of a result.
    pub(super) fn read(batches: &[RecordBatch], is_map: bool) -> Result<Self, RenderError> {
        if let ([batch], false) = (batches, is_map)
            && let Some(packed) = Self::of_batch(batch)
        {
            return Ok(packed);
        }
        let mut packing = Packing::new(is_map);
        for batch in batches {
            packing.push(batch)?;
        }
        Ok(packing.finish())
    }

    /// A row as it was, `None` if something needed of it is null.
    pub(super) fn cell(&self, row: usize) -> Option<Cell> {
        let moment = self.moments.get(*self.moment.get(row)? as usize)?;
        let place = self.places.get(*self.place.get(row)? as usize).filter(|place| place.is_complete())?;
        let (low, high) = place.edges();
        Some(Cell {
            ts: moment.ts,
            low,
            high,
            side: place.side(),
            usd: *self.usd.get(row)?,
            price: moment.price(),
            cumulative_usd: moment.cumulative_usd.map(Exact::get),
            distance: moment.distance.map(Exact::get),
            leverage: place.leverage(),
            owner: place.owner,
        })
    }

    /// The rows of a heatmap as a record batch: its columns as dictionaries, and USD.
    ///
    /// # Errors
    ///
    /// Arrow refuses the arrays.
    pub(super) fn into_batch(self) -> Result<RecordBatch, ArrowError> {
        let of_moments = |of: fn(&Moment) -> Option<f64>| numbers(self.moments.iter().map(of));
        let of_places = |of: fn(&Place) -> Option<f64>| numbers(self.places.iter().map(of));
        let owner = |place: &Place| self.owners.get(place.owner as usize);
        let names = |of: fn(&Owner) -> Option<&str>| -> ArrayRef {
            Arc::new(self.places.iter().map(|place| owner(place).and_then(of)).collect::<StringArray>())
        };
        let sides = self.places.iter().map(|place| place.bucket.map(|_| place.side().name()));
        let instants: TimestampMillisecondArray = self.moments.iter().map(|moment| moment.ts).collect();
        let mut columns: Vec<(&str, ArrayRef)> = Vec::new();
        let moments = dictionaries(
            self.moment,
            vec![("ts", Arc::new(instants) as ArrayRef), ("price", of_moments(Moment::price))],
        );
        let places = dictionaries(
            self.place,
            vec![
                ("exchange", names(|owner| owner.exchange.as_deref())),
                ("symbol", names(|owner| owner.symbol.as_deref())),
                ("model", names(|owner| owner.model.as_deref())),
                ("side", Arc::new(sides.collect::<StringArray>())),
                ("leverage", of_places(Place::leverage)),
                ("price_low", of_places(|place| place.bucket.map(|bucket| bucket.low.get()))),
                ("price_high", of_places(|place| place.bucket.map(|bucket| bucket.high.get()))),
            ],
        );
        columns.extend(moments?);
        columns.extend(places?);
        columns.push(("notional_usd", Arc::new(Float64Array::new(self.usd, None))));
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
    }

    /// Takes up packed rows as they are. `None` if the batch is none of [`Packed::into_batch`], or not all in it has a
    /// place in a picture: it is then read row by row.
    fn of_batch(batch: &RecordBatch) -> Option<Self> {
        const MOMENT: [&str; 2] = ["ts", "price"];
        const PLACE: [&str; 7] = ["price_low", "price_high", "side", "leverage", "exchange", "symbol", "model"];
        let is_known = |name: &str| name == "notional_usd" || MOMENT.contains(&name) || PLACE.contains(&name);
        if !batch.schema_ref().fields().iter().all(|field| is_known(field.name())) {
            return None;
        }
        let (moment, moments) = shared(batch, &MOMENT)?;
        let (place, places) = shared(batch, &PLACE)?;
        u32::try_from(batch.num_rows()).ok()?;
        let usd = batch.column_by_name("notional_usd")?.as_primitive_opt::<Float64Type>()?;
        let is_sound = usd.null_count() == 0 && usd.values().iter().all(|usd| (0.0..=LARGEST_VALUE).contains(usd));
        if !is_sound {
            return None;
        }
        // The values of the dictionaries are read as rows are, each of them once.
        let instants = columns::time(&moments, "ts").ok()?;
        let prices = columns::optional_number(&moments, "price").ok()?;
        let moments = (0..moments.num_rows()).map(|row| {
            let ts = instants.is_valid(row).then(|| instants.value(row));
            let price = columns::optional_price(prices.as_ref(), row, "price").ok()?;
            Some(Moment { ts, price: price.map(Exact::of), cumulative_usd: None, distance: None })
        });
        let moments: Vec<Moment> = moments.collect::<Option<_>>()?;
        let mut packing = Packing::new(false);
        let (low, high) = (columns::number(&places, "price_low").ok()?, columns::number(&places, "price_high").ok()?);
        let sides = columns::text_views(&places, "side").ok()?;
        let stated = columns::optional_number(&places, "leverage").ok()?;
        let owners = owner_columns(&places).ok()?;
        let mut found = Vec::with_capacity(places.num_rows());
        let mut owner = None;
        for row in 0..places.num_rows() {
            let current = packing.owner(&owners, row, owner).ok()?;
            owner = Some(current);
            let is_complete = low.is_valid(row) && high.is_valid(row) && sides.is_valid(row);
            let bucket = if is_complete {
                let (low, high) = columns::bucket(&low, &high, row).ok()?;
                let is_long = columns::side_of(sides.value(row)).ok()? == PoolSide::Long;
                let leverage = leverages::stated(stated.as_ref(), row).ok()?.map(Exact::of);
                Some(Bucket { low: Exact::of(low), high: Exact::of(high), is_long, leverage })
            } else {
                None
            };
            found.push(Place { owner: current, bucket });
        }
        // Packed rows without an instant have no bucket either; of others it is seen row by row.
        let lacks_instant = |(moment, place): (&u32, &u32)| {
            moments[*moment as usize].ts.is_none() && found[*place as usize].is_complete()
        };
        if instants.null_count() > 0 && moment.iter().zip(place.iter()).any(lacks_instant) {
            return None;
        }
        let owners = packing.owners;
        Some(Self { moment, place, usd: usd.values().clone(), moments, places: found, owners })
    }
}

fn numbers(numbers: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(numbers.collect::<Float64Array>())
}

/// Columns of the same keys.
///
/// # Errors
///
/// A key is of no value.
fn dictionaries(
    keys: ScalarBuffer<u32>,
    columns: Vec<(&'static str, ArrayRef)>,
) -> Result<Vec<(&'static str, ArrayRef)>, ArrowError> {
    let mut first: Option<DictionaryArray<UInt32Type>> = None;
    let mut found: Vec<(&'static str, ArrayRef)> = Vec::with_capacity(columns.len());
    for (name, values) in columns {
        let column = match &first {
            // The keys of the first were checked.
            Some(first) => first.with_values(values),
            None => {
                let keys = PrimitiveArray::<UInt32Type>::new(keys.clone(), None);
                first.insert(DictionaryArray::try_new(keys, values)?).clone()
            }
        };
        found.push((name, Arc::new(column)));
    }
    Ok(found)
}

/// The keys that all these columns share, as far as the batch has them, and their values side by side.
fn shared(batch: &RecordBatch, names: &[&'static str]) -> Option<(ScalarBuffer<u32>, RecordBatch)> {
    let mut keys: Option<ScalarBuffer<u32>> = None;
    let mut values = Vec::new();
    for name in names {
        let Some(column) = batch.column_by_name(name) else { continue };
        let column = column.as_dictionary_opt::<UInt32Type>()?;
        let own = column.keys();
        if own.null_count() > 0 || keys.as_ref().is_some_and(|keys| !keys.ptr_eq(own.values())) {
            return None;
        }
        keys = Some(own.values().clone());
        values.push((*name, Arc::clone(column.values()), true));
    }
    Some((keys?, RecordBatch::try_from_iter_with_nullable(values).ok()?))
}
