//! What a token allows.

use super::AuthError;
use crate::database::Access;
use orion_api::DatabaseId;
use std::collections::HashMap;

/// What a verified token allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// On every database.
    everywhere: Option<Access>,
    /// On single databases, by name or id; the wider of this and `everywhere` counts.
    databases: HashMap<String, Access>,
    /// The admin API too.
    admin: bool,
}

impl Grant {
    /// Everything.
    pub fn all() -> Grant {
        Grant {
            everywhere: Some(Access::Write),
            databases: HashMap::new(),
            admin: true,
        }
    }

    /// Access to all databases, but not to the admin API.
    pub fn everywhere(access: Access) -> Grant {
        Grant {
            everywhere: Some(access),
            ..Grant::default()
        }
    }

    /// The same and the admin API.
    pub fn with_admin(self) -> Grant {
        Grant { admin: true, ..self }
    }

    /// Adds access to one database, by its name or id.
    pub fn allow(&mut self, database: String, access: Access) {
        let held = self.databases.entry(database).or_insert(access);
        *held = access.max(*held);
    }

    /// What it allows on a database.
    pub fn access(&self, id: DatabaseId, name: &str) -> Result<Access, AuthError> {
        if self.everywhere == Some(Access::Write) {
            return Ok(Access::Write);
        }
        let single = if self.databases.is_empty() {
            None
        } else {
            let by_id = self.databases.get(&id.to_string());
            self.databases.get(name).max(by_id).copied()
        };
        self.everywhere
            .max(single)
            .ok_or(AuthError::Forbidden("anything on this database"))
    }

    /// Whether it allows the admin API.
    pub fn admin(&self) -> Result<(), AuthError> {
        match self.admin {
            true => Ok(()),
            false => Err(AuthError::Forbidden("the admin API")),
        }
    }
}
