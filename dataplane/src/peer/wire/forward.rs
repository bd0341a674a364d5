//! A client's request on its way to the node that can answer it, and the reply on its way back: a head, then
//! chunks of the body.

use bytes::Bytes;

/// One part of a request or of a reply.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Part {
    /// What it is.
    #[prost(oneof = "part::Kind", tags = "1, 2, 3")]
    pub(crate) kind: Option<part::Kind>,
}

pub(crate) mod part {
    //! Kinds of parts.

    use super::{Chunk, ReplyHead, RequestHead};

    /// What a part is.
    #[derive(Clone, PartialEq, prost::Oneof)]
    pub(crate) enum Kind {
        /// The first part of a request.
        #[prost(message, tag = "1")]
        Request(RequestHead),
        /// The first part of a reply.
        #[prost(message, tag = "2")]
        Reply(ReplyHead),
        /// A piece of the body.
        #[prost(message, tag = "3")]
        Chunk(Chunk),
    }
}

/// A request without its body.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RequestHead {
    /// `POST`.
    #[prost(string, tag = "1")]
    pub(crate) method: String,
    /// Path and query.
    #[prost(string, tag = "2")]
    pub(crate) uri: String,
    /// Headers that mean something there.
    #[prost(message, repeated, tag = "3")]
    pub(crate) headers: Vec<Header>,
}

/// A header's name and value.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Header {
    /// In lower case.
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// As it came.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) value: Bytes,
}

/// A reply without its body.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ReplyHead {
    /// HTTP status.
    #[prost(uint32, tag = "1")]
    pub(crate) status: u32,
    /// Headers for the client.
    #[prost(message, repeated, tag = "2")]
    pub(crate) headers: Vec<Header>,
    /// It is an error, nothing was done, and whoever leads by now may do it.
    #[prost(bool, tag = "3")]
    pub(crate) not_done: bool,
}

/// A piece of a body.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Chunk {
    /// Its bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) bytes: Bytes,
}
