//! Head codes: eight words that stand for a record and all that it knows (SPEC.md, section 12).
//!
//! On paper, in a mail or in another system they are a memory that no thief of the storage can
//! reach: a machine that never saw the repository finds out with them that it was rolled back.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::str::FromStr;

use bip39::Language;
use serde::{Deserialize, Serialize};

use super::chains::Breach;
use super::list::SnapshotList;
use super::read::{Record, Says};
use crate::model::{ClientId, ObjectHash};

const CONTEXT: &str = "larder v1 head code";

/// Words of a code, and bits of each.
const WORDS: usize = 8;
const WORD_BITS: usize = 11;

/// Eight words of the English list of BIP-39.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HeadCode([u16; WORDS]);

impl HeadCode {
    /// The code of a record.
    pub fn of(record: ObjectHash) -> Self {
        let hash = blake3::derive_key(CONTEXT, &record.0);
        let bits =
            hash.iter().flat_map(|byte| (0..8).rev().map(move |at| u16::from(byte >> at & 1)));
        let mut words = [0; WORDS];
        for (number, bit) in bits.take(WORDS * WORD_BITS).enumerate() {
            let word = &mut words[number / WORD_BITS];
            *word = *word << 1 | bit;
        }
        Self(words)
    }
}

impl fmt::Display for HeadCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = Language::English.word_list();
        let words: Vec<&str> = self.0.iter().map(|word| list[usize::from(*word)]).collect();
        f.write_str(&words.join(" "))
    }
}

/// Words in any case, with any spaces, commas or dashes between them.
impl FromStr for HeadCode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.to_lowercase();
        let is_between = |c: char| c.is_whitespace() || matches!(c, '-' | ',' | '.' | '_');
        let mut code = [0; WORDS];
        let mut count = 0;
        for word in text.split(is_between).filter(|word| !word.is_empty()) {
            let number = Language::English.find_word(word);
            let number = number.ok_or_else(|| format!("`{word}` is no word of a head code"))?;
            if let Some(place) = code.get_mut(count) {
                *place = number;
            }
            count += 1;
        }
        match count {
            WORDS => Ok(Self(code)),
            _ => Err(format!("a head code has {WORDS} words, not {count}")),
        }
    }
}

impl TryFrom<String> for HeadCode {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<HeadCode> for String {
    fn from(code: HeadCode) -> Self {
        code.to_string()
    }
}

impl SnapshotList {
    /// The record to write down: of those that no other knows, the one that knows most.
    pub fn head(&self) -> Option<&Record> {
        let mut known: HashMap<ClientId, u64> = HashMap::new();
        for record in &self.records {
            for head in &record.outer.heads {
                let seq = known.entry(head.client_id).or_default();
                *seq = head.seq.max(*seq);
            }
        }
        // Sorted by client and number: the last of each client is its newest.
        let newest: HashMap<ClientId, &Record> =
            self.records.iter().map(|record| (record.client_id(), record)).collect();
        let unknown = newest
            .into_values()
            .filter(|record| known.get(&record.client_id()).is_none_or(|seq| *seq < record.seq()));
        unknown.max_by_key(|record| {
            let heads = record.outer.heads.iter().map(|head| u128::from(head.seq));
            (heads.sum::<u128>() + u128::from(record.seq()), record.outer.time_ms, record.hash)
        })
    }

    /// The code of that record; `None` in a repository without records.
    pub fn head_code(&self) -> Option<HeadCode> {
        self.head().map(|record| HeadCode::of(record.hash))
    }

    /// Looks for the record with a code, and for all that it knows.
    ///
    /// # Errors
    /// What is missing, in words.
    pub fn check_head(&self, code: &HeadCode) -> Result<(), String> {
        if let Some(record) = self.records.iter().find(|record| HeadCode::of(record.hash) == *code)
        {
            let is_known = |client_id: &ClientId, seq: u64| {
                record.knows(*client_id, seq)
                    || (record.client_id(), record.seq()) == (*client_id, seq)
            };
            let hit = self.rollback.iter().find(|breach| match breach {
                Breach::Missing { client_id, first: seq, .. }
                | Breach::Replaced { client_id, seq, .. }
                | Breach::Fork { client_id, seq, .. } => is_known(client_id, *seq),
            });
            return hit.map_or(Ok(()), |breach| Err(format!("{ROLLED_BACK}: {breach}")));
        }
        let covered = self.records.iter().flat_map(|record| match &record.says {
            Says::Checkpoint(body) => &body.covers[..],
            _ => &[],
        });
        let missing: HashSet<ObjectHash> = self.missing.iter().map(|head| head.record).collect();
        // It was let go by a checkpoint that knew it and all that it knew.
        let mut let_go = covered.map(|head| head.record).filter(|hash| !missing.contains(hash));
        let unreadable = self.unreadable.iter().any(|(head, _)| HeadCode::of(head.record) == *code);
        if unreadable {
            return Err("the record with this head code is damaged".into());
        }
        match (let_go.any(|hash| HeadCode::of(hash) == *code), self.rollback.first()) {
            (true, None) => Ok(()),
            (true, Some(breach)) => Err(format!("{ROLLED_BACK}: {breach}")),
            (false, _) => Err(format!("no record has this head code: {ROLLED_BACK}")),
        }
    }
}

const ROLLED_BACK: &str = "the repository was rolled back or snapshots are hidden";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_read_as_people_write_them() {
        let code = HeadCode::of(ObjectHash([7; 32]));
        let text = code.to_string();
        assert_eq!(text.split(' ').count(), 8);
        assert_eq!(text.parse(), Ok(code));
        let sloppy = format!("  {} ", text.to_uppercase().replace(' ', " - "));
        assert_eq!(sloppy.parse(), Ok(code));
        assert_eq!(text.replace(' ', "-").parse(), Ok(code));
        assert_ne!(HeadCode::of(ObjectHash([8; 32])), code);
        for wrong in ["", "abandon", "a b c d e f g h", &format!("{text} zoo")] {
            assert!(wrong.parse::<HeadCode>().is_err(), "{wrong}");
        }
    }

    /// Computed from SPEC.md by other means.
    #[test]
    fn codes_are_those_of_the_specification() {
        let code = HeadCode::of(ObjectHash([0x49; 32])).to_string();
        assert_eq!(code, "camp cube suit deliver flee mammal future welcome");
    }
}
