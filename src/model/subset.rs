//! A part of many objects: some at random, or one of several equal parts.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{ObjectHash, parse_bytes};
use crate::runtime::Random;

/// Which objects a partial check reads.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Subset {
    /// Objects drawn at random, this many percent of the bytes (above 0, up to 100).
    Percent(f64),
    /// Part `number` of `parts`, by the objects' names: all parts together are all of them.
    Part {
        /// 1 to `parts`.
        number: u32,
        /// Into how many parts they are divided.
        parts: u32,
    },
    /// Objects drawn at random, this many bytes.
    Bytes(u64),
}

impl Subset {
    /// The objects of this part, in no order. Each has a hash and a length; at least one is picked
    /// at random, if there are any.
    pub fn pick<T>(
        self,
        objects: Vec<T>,
        of: impl Fn(&T) -> (ObjectHash, u64),
        random: &Random,
    ) -> Vec<T> {
        let total: u64 = objects.iter().map(|object| of(object).1).sum();
        match self {
            Self::Part { number, parts } => {
                let in_part = |object: &T| {
                    let mut first = [0; 8];
                    first.copy_from_slice(&of(object).0.0[..8]);
                    u64::from_be_bytes(first) % u64::from(parts.max(1)) + 1 == u64::from(number)
                };
                objects.into_iter().filter(in_part).collect()
            }
            Self::Percent(percent) => {
                let bytes = (total as f64 * percent.clamp(0.0, 100.0) / 100.0).ceil() as u64;
                draw(objects, bytes, of, random)
            }
            Self::Bytes(bytes) => draw(objects, bytes, of, random),
        }
    }
}

fn draw<T>(
    mut objects: Vec<T>,
    bytes: u64,
    of: impl Fn(&T) -> (ObjectHash, u64),
    random: &Random,
) -> Vec<T> {
    let mut picked = Vec::new();
    let mut sum = 0;
    while sum < bytes && !objects.is_empty() {
        let number = (random.next_u64() % objects.len() as u64) as usize;
        let object = objects.swap_remove(number);
        sum += of(&object).1.max(1);
        picked.push(object);
    }
    picked
}

/// Reads `5%`, `1/7` or a size such as `2G`.
impl FromStr for Subset {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is not like `5%`, `1/7` or `2G`");
        if let Some(percent) = text.strip_suffix('%') {
            let percent: f64 = percent.trim().parse().map_err(|_| wrong())?;
            let fits = percent > 0.0 && percent <= 100.0;
            return if fits { Ok(Self::Percent(percent)) } else { Err(wrong()) };
        }
        if let Some((number, parts)) = text.split_once('/') {
            let number = number.trim().parse().map_err(|_| wrong())?;
            let parts = parts.trim().parse().map_err(|_| wrong())?;
            let fits = (1..=parts).contains(&number);
            return if fits { Ok(Self::Part { number, parts }) } else { Err(wrong()) };
        }
        match parse_bytes(text).map_err(|_| wrong())? {
            0 => Err(wrong()),
            bytes => Ok(Self::Bytes(bytes)),
        }
    }
}
