//! SQLite's result codes by number and name (SQLite, "Result and Error Codes").

use super::Kind;
use std::fmt;

/// A result code of SQLite, with its extension where it has one: the number that
/// `sqlite3_extended_errcode` gives.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SqliteCode(pub i32);

impl SqliteCode {
    /// Without the extension.
    pub fn primary(self) -> SqliteCode {
        SqliteCode(self.0 & 0xff)
    }

    /// Whether it says more than its primary code.
    pub fn is_extended(self) -> bool {
        self.0 > 0xff
    }

    /// As in `sqlite3.h`. A number that is newer than this list has its primary code's name.
    pub fn name(self) -> &'static str {
        let by_number = |number: i32| {
            NAMES
                .iter()
                .find(|(known, _)| *known == number)
                .map(|(_, name)| *name)
        };
        by_number(self.0)
            .or_else(|| by_number(self.0 & 0xff))
            .unwrap_or("SQLITE_UNKNOWN")
    }

    /// The code with this name.
    pub fn from_name(name: &str) -> Option<SqliteCode> {
        NAMES
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(number, _)| SqliteCode(*number))
    }

    /// What the caller can do.
    pub fn kind(self) -> Kind {
        match self.0 & 0xff {
            5 | 6 | 17 => Kind::Retry,
            3 | 8 | 23 => Kind::Forbidden,
            9 => Kind::Timeout,
            10 | 14 => Kind::Unavailable,
            11 | 26 => Kind::Corrupt,
            13 => Kind::Quota,
            18 => Kind::TooLarge,
            19 => Kind::Conflict,
            2 | 7 => Kind::Internal,
            _ => Kind::Invalid,
        }
    }
}

impl fmt::Debug for SqliteCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.name(), self.0)
    }
}

const NAMES: &[(i32, &str)] = &[
    (0, "SQLITE_OK"),
    (1, "SQLITE_ERROR"),
    (2, "SQLITE_INTERNAL"),
    (3, "SQLITE_PERM"),
    (4, "SQLITE_ABORT"),
    (5, "SQLITE_BUSY"),
    (6, "SQLITE_LOCKED"),
    (7, "SQLITE_NOMEM"),
    (8, "SQLITE_READONLY"),
    (9, "SQLITE_INTERRUPT"),
    (10, "SQLITE_IOERR"),
    (11, "SQLITE_CORRUPT"),
    (12, "SQLITE_NOTFOUND"),
    (13, "SQLITE_FULL"),
    (14, "SQLITE_CANTOPEN"),
    (15, "SQLITE_PROTOCOL"),
    (16, "SQLITE_EMPTY"),
    (17, "SQLITE_SCHEMA"),
    (18, "SQLITE_TOOBIG"),
    (19, "SQLITE_CONSTRAINT"),
    (20, "SQLITE_MISMATCH"),
    (21, "SQLITE_MISUSE"),
    (22, "SQLITE_NOLFS"),
    (23, "SQLITE_AUTH"),
    (24, "SQLITE_FORMAT"),
    (25, "SQLITE_RANGE"),
    (26, "SQLITE_NOTADB"),
    (27, "SQLITE_NOTICE"),
    (28, "SQLITE_WARNING"),
    (100, "SQLITE_ROW"),
    (101, "SQLITE_DONE"),
    (257, "SQLITE_ERROR_MISSING_COLLSEQ"),
    (513, "SQLITE_ERROR_RETRY"),
    (769, "SQLITE_ERROR_SNAPSHOT"),
    (1025, "SQLITE_ERROR_RESERVESIZE"),
    (1281, "SQLITE_ERROR_KEY"),
    (1537, "SQLITE_ERROR_UNABLE"),
    (266, "SQLITE_IOERR_READ"),
    (522, "SQLITE_IOERR_SHORT_READ"),
    (778, "SQLITE_IOERR_WRITE"),
    (1034, "SQLITE_IOERR_FSYNC"),
    (1290, "SQLITE_IOERR_DIR_FSYNC"),
    (1546, "SQLITE_IOERR_TRUNCATE"),
    (1802, "SQLITE_IOERR_FSTAT"),
    (2058, "SQLITE_IOERR_UNLOCK"),
    (2314, "SQLITE_IOERR_RDLOCK"),
    (2570, "SQLITE_IOERR_DELETE"),
    (2826, "SQLITE_IOERR_BLOCKED"),
    (3082, "SQLITE_IOERR_NOMEM"),
    (3338, "SQLITE_IOERR_ACCESS"),
    (3594, "SQLITE_IOERR_CHECKRESERVEDLOCK"),
    (3850, "SQLITE_IOERR_LOCK"),
    (4106, "SQLITE_IOERR_CLOSE"),
    (4362, "SQLITE_IOERR_DIR_CLOSE"),
    (4618, "SQLITE_IOERR_SHMOPEN"),
    (4874, "SQLITE_IOERR_SHMSIZE"),
    (5130, "SQLITE_IOERR_SHMLOCK"),
    (5386, "SQLITE_IOERR_SHMMAP"),
    (5642, "SQLITE_IOERR_SEEK"),
    (5898, "SQLITE_IOERR_DELETE_NOENT"),
    (6154, "SQLITE_IOERR_MMAP"),
    (6410, "SQLITE_IOERR_GETTEMPPATH"),
    (6666, "SQLITE_IOERR_CONVPATH"),
    (6922, "SQLITE_IOERR_VNODE"),
    (7178, "SQLITE_IOERR_AUTH"),
    (7434, "SQLITE_IOERR_BEGIN_ATOMIC"),
    (7690, "SQLITE_IOERR_COMMIT_ATOMIC"),
    (7946, "SQLITE_IOERR_ROLLBACK_ATOMIC"),
    (8202, "SQLITE_IOERR_DATA"),
    (8458, "SQLITE_IOERR_CORRUPTFS"),
    (8714, "SQLITE_IOERR_IN_PAGE"),
    (8970, "SQLITE_IOERR_BADKEY"),
    (9226, "SQLITE_IOERR_CODEC"),
    (262, "SQLITE_LOCKED_SHAREDCACHE"),
    (518, "SQLITE_LOCKED_VTAB"),
    (261, "SQLITE_BUSY_RECOVERY"),
    (517, "SQLITE_BUSY_SNAPSHOT"),
    (773, "SQLITE_BUSY_TIMEOUT"),
    (270, "SQLITE_CANTOPEN_NOTEMPDIR"),
    (526, "SQLITE_CANTOPEN_ISDIR"),
    (782, "SQLITE_CANTOPEN_FULLPATH"),
    (1038, "SQLITE_CANTOPEN_CONVPATH"),
    (1294, "SQLITE_CANTOPEN_DIRTYWAL"),
    (1550, "SQLITE_CANTOPEN_SYMLINK"),
    (267, "SQLITE_CORRUPT_VTAB"),
    (523, "SQLITE_CORRUPT_SEQUENCE"),
    (779, "SQLITE_CORRUPT_INDEX"),
    (264, "SQLITE_READONLY_RECOVERY"),
    (520, "SQLITE_READONLY_CANTLOCK"),
    (776, "SQLITE_READONLY_ROLLBACK"),
    (1032, "SQLITE_READONLY_DBMOVED"),
    (1288, "SQLITE_READONLY_CANTINIT"),
    (1544, "SQLITE_READONLY_DIRECTORY"),
    (516, "SQLITE_ABORT_ROLLBACK"),
    (275, "SQLITE_CONSTRAINT_CHECK"),
    (531, "SQLITE_CONSTRAINT_COMMITHOOK"),
    (787, "SQLITE_CONSTRAINT_FOREIGNKEY"),
    (1043, "SQLITE_CONSTRAINT_FUNCTION"),
    (1299, "SQLITE_CONSTRAINT_NOTNULL"),
    (1555, "SQLITE_CONSTRAINT_PRIMARYKEY"),
    (1811, "SQLITE_CONSTRAINT_TRIGGER"),
    (2067, "SQLITE_CONSTRAINT_UNIQUE"),
    (2323, "SQLITE_CONSTRAINT_VTAB"),
    (2579, "SQLITE_CONSTRAINT_ROWID"),
    (2835, "SQLITE_CONSTRAINT_PINNED"),
    (3091, "SQLITE_CONSTRAINT_DATATYPE"),
    (283, "SQLITE_NOTICE_RECOVER_WAL"),
    (539, "SQLITE_NOTICE_RECOVER_ROLLBACK"),
    (795, "SQLITE_NOTICE_RBU"),
    (284, "SQLITE_WARNING_AUTOINDEX"),
    (279, "SQLITE_AUTH_USER"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extended_codes_have_their_own_names() {
        assert_eq!(SqliteCode(2067).name(), "SQLITE_CONSTRAINT_UNIQUE");
        assert_eq!(SqliteCode(1555).name(), "SQLITE_CONSTRAINT_PRIMARYKEY");
        assert_eq!(SqliteCode(517).name(), "SQLITE_BUSY_SNAPSHOT");
        assert_eq!(SqliteCode(516).name(), "SQLITE_ABORT_ROLLBACK");
        assert_eq!(SqliteCode(2067).primary().name(), "SQLITE_CONSTRAINT");
    }

    #[test]
    fn a_code_of_a_later_sqlite_has_its_primary_name() {
        assert_eq!(SqliteCode(19 | 200 << 8).name(), "SQLITE_CONSTRAINT");
        assert_eq!(SqliteCode(250).name(), "SQLITE_UNKNOWN");
    }

    #[test]
    fn names_and_numbers_are_one_to_one() {
        for (number, name) in NAMES {
            assert_eq!(SqliteCode::from_name(name), Some(SqliteCode(*number)));
            assert_eq!(SqliteCode(*number).name(), *name);
        }
    }
}
