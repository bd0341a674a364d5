//! Laws of the VFS, through rusqlite.
