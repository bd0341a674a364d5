//! Nodes that meet: who they are, who is in a group, how one gets in.

/// A greeting. Answered by every node, also by one that has no group yet.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Hello {
    /// [`PROTOCOL`](super::PROTOCOL) of the caller.
    #[prost(uint32, tag = "1")]
    pub(crate) protocol: u32,
    /// The caller's id.
    #[prost(fixed64, tag = "2")]
    pub(crate) node: u64,
    /// Where the caller is reached by its peers, `host:port`.
    #[prost(string, tag = "3")]
    pub(crate) address: String,
    /// Its release, for people.
    #[prost(string, tag = "4")]
    pub(crate) release: String,
    /// The newest log format that it can read.
    #[prost(uint32, tag = "5")]
    pub(crate) format_level: u32,
}

/// Who the called node is, and what it knows.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Known {
    /// The same as the caller said of itself.
    #[prost(message, optional, tag = "1")]
    pub(crate) own: Option<Hello>,
    /// The groups that it is a member of.
    #[prost(message, repeated, tag = "2")]
    pub(crate) groups: Vec<KnownGroup>,
}

/// A group, as one of its members knows it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct KnownGroup {
    /// Its name.
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    /// The leader's node id; 0 if it is not known.
    #[prost(fixed64, tag = "2")]
    pub(crate) leader: u64,
    /// Its members.
    #[prost(message, repeated, tag = "3")]
    pub(crate) members: Vec<KnownMember>,
    /// Which life of its log.
    #[prost(uint64, tag = "4")]
    pub(crate) incarnation: u64,
}

/// A member, and where its peers reach it.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct KnownMember {
    /// Its id.
    #[prost(fixed64, tag = "1")]
    pub(crate) node: u64,
    /// `host:port`.
    #[prost(string, tag = "2")]
    pub(crate) address: String,
    /// It votes.
    #[prost(bool, tag = "3")]
    pub(crate) votes: bool,
}

/// A node wants to be a member. May be repeated until it is one; also how a member says that it has moved.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Join {
    /// Its id.
    #[prost(fixed64, tag = "1")]
    pub(crate) node: u64,
    /// Where its peers reach it.
    #[prost(string, tag = "2")]
    pub(crate) address: String,
    /// It wants to vote once it has caught up; else it is a read replica. Counts only at the first time: what a
    /// member is the group says.
    #[prost(bool, tag = "3")]
    pub(crate) votes: bool,
    /// The newest log format that it can read.
    #[prost(uint32, tag = "4")]
    pub(crate) format_level: u32,
}

/// What became of a [`Join`].
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Joined {
    /// It is what it wants to be, at this address.
    #[prost(bool, tag = "1")]
    pub(crate) done: bool,
    /// Where it stands, for the log of the one who asks.
    #[prost(string, tag = "2")]
    pub(crate) detail: String,
}

/// A follower wants to answer strong reads.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct ReadIndex {
    /// By a round to a quorum, also where the leader's lease holds.
    #[prost(bool, tag = "1")]
    pub(crate) by_quorum: bool,
}

/// Whoever has applied this has everything that was acknowledged before the question was asked.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(crate) struct ReadAt {
    /// Index in the group's log.
    #[prost(uint64, tag = "1")]
    pub(crate) index: u64,
}
