//! Client and server of the service, as `build.rs` lists it.

#![allow(missing_docs, unused_qualifications, clippy::all, clippy::unwrap_used)]

include!(concat!(env!("OUT_DIR"), "/orion.peer.v1.Peer.rs"));
