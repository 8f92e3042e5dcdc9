//! State per (exchange, symbol).

use std::collections::BTreeMap;
use std::fmt;

/// The key of every market table.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Exchange, lower case.
    pub exchange: String,
    /// BASEQUOTE, upper case.
    pub symbol: String,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.exchange, self.symbol)
    }
}

/// A value per key, found by name, iterated in order of the names whatever the order of arrival.
#[derive(Debug)]
pub struct Keyed<T> {
    places: BTreeMap<Key, usize>,
    values: Vec<Option<(Key, T)>>,
    last: Option<usize>,
}

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Keyed { places: BTreeMap::new(), values: Vec::new(), last: None }
    }
}

impl<T> Keyed<T> {
    /// Returns the place of a key, made if it is new; `None` if its value was taken out before.
    ///
    /// The key of the last call is found without a search.
    pub fn place(&mut self, exchange: &str, symbol: &str, make: impl FnOnce(&Key) -> T) -> Option<usize> {
        if let Some(last) = self.last
            && let Some((key, _)) = &self.values[last]
            && key.symbol == symbol
            && key.exchange == exchange
        {
            return Some(last);
        }
        let key = Key { exchange: exchange.to_owned(), symbol: symbol.to_owned() };
        let place = match self.places.get(&key) {
            Some(place) => *place,
            None => {
                let place = self.values.len();
                let value = make(&key);
                self.places.insert(key.clone(), place);
                self.values.push(Some((key, value)));
                place
            }
        };
        self.last = Some(place);
        self.values[place].is_some().then_some(place)
    }

    /// Returns a key and its value.
    pub fn get_mut(&mut self, place: usize) -> Option<&mut (Key, T)> {
        self.values.get_mut(place).and_then(Option::as_mut)
    }

    /// Forgets a key's value.
    pub fn remove(&mut self, place: usize) -> Option<(Key, T)> {
        self.values.get_mut(place).and_then(Option::take)
    }

    /// Returns the first place in order of the keys that still has a value.
    pub fn first(&self) -> Option<usize> {
        self.places.values().copied().find(|place| self.values[*place].is_some())
    }

    /// Returns the values.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.values.iter().flatten().map(|(_, value)| value)
    }
}
