//! How `orion server` ends where a start is not possible: numbers by which whoever starts it knows what to mend. They are
//! those of BSD's `sysexits.h` where that has one; any other failure is 1.

/// The object store does not answer.
pub const OBJECT_STORE_UNAVAILABLE: u8 = 69;

/// The group of this name in the object store is another one's, or this data directory's life of it is over.
pub const GROUP_ELSEWHERE: u8 = 73;

/// The object store refuses the credentials, or there are none.
pub const OBJECT_STORE_DENIED: u8 = 77;
