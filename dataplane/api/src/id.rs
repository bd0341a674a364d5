//! Ids and counters as types of their own, so that a version is never taken for an epoch.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// A database for ever: never changes, never used again, whatever name or group it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DatabaseId(Uuid);

impl DatabaseId {
    /// A new random id.
    pub fn random() -> DatabaseId {
        DatabaseId(Uuid::new_v4())
    }

    /// The 16 bytes of the id.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// From 16 bytes as [`DatabaseId::as_bytes`] gives them.
    pub const fn from_bytes(bytes: [u8; 16]) -> DatabaseId {
        DatabaseId(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for DatabaseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl FromStr for DatabaseId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<DatabaseId, uuid::Error> {
        Uuid::parse_str(text).map(DatabaseId)
    }
}

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub u64);

        impl $name {
            /// The one after this.
            pub fn next(self) -> $name {
                $name(self.0 + 1)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

counter! {
    /// A database's ownership counter: one more each time another group becomes its owner.
    Epoch
}
counter! {
    /// Entries applied to a database. Meaningful only together with its epoch.
    Version
}
counter! {
    /// Position in a group's log.
    LogIndex
}

/// One disk's member of groups; random, never used again after the disk is lost.
/// In text, JSON included, 16 hexadecimal digits: not every reader of JSON keeps 64 bits of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// A text that is no node id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no node id: it has 16 hexadecimal digits")]
pub struct InvalidNodeId(String);

impl std::str::FromStr for NodeId {
    type Err = InvalidNodeId;

    fn from_str(text: &str) -> Result<NodeId, InvalidNodeId> {
        let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let id = u64::from_str_radix(text, 16).ok().filter(|_| digits);
        id.map(NodeId).ok_or_else(|| InvalidNodeId(text.to_owned()))
    }
}

impl Serialize for NodeId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for NodeId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<NodeId, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A name that is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} name {name:?} must be 1 to {max} of a-z, 0-9, '-', '_' and '.', and begin with a letter or digit"
)]
pub struct InvalidName {
    what: &'static str,
    name: String,
    max: usize,
}

fn check_name(what: &'static str, name: &str, max: usize) -> Result<String, InvalidName> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = (1..=max).contains(&name.len())
        && name.starts_with(allowed)
        && name.chars().all(|c| allowed(c) || matches!(c, '-' | '_' | '.'));
    if good {
        Ok(name.to_owned())
    } else {
        Err(InvalidName {
            what,
            name: name.to_owned(),
            max,
        })
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidName;

            fn from_str(name: &str) -> Result<$name, InvalidName> {
                check_name($what, name, $max).map($name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;

            fn try_from(name: String) -> Result<$name, InvalidName> {
                name.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

name! {
    /// What people call a database. Unique within one object-store root; may be given to another id later.
    DatabaseName, "database", 128
}

impl DatabaseName {
    /// The database of the operator views. No text parses to it, so that nobody creates or drops it.
    pub fn of_views() -> DatabaseName {
        DatabaseName("_orion".to_owned())
    }
}

name! {
    /// A replication group.
    GroupName, "group", 30
}
