//! Generates the gRPC service of `peer` from the list of its methods. The messages are written by hand, in
//! `src/peer/wire/`.

use tonic_build::manual::{Builder, Method, MethodBuilder, Service};

fn method(name: &str, route: &str, comment: &str, input: &str, output: &str) -> MethodBuilder {
    Method::builder()
        .name(name)
        .route_name(route)
        .comment(comment)
        .input_type(format!("crate::peer::wire::{input}"))
        .output_type(format!("crate::peer::wire::{output}"))
        .codec_path("tonic_prost::ProstCodec")
}

fn main() {
    let service = Service::builder()
        .name("Peer")
        .package("orion.peer.v1")
        .comment("What the nodes of a group ask each other.")
        .method(
            method(
                "hello",
                "Hello",
                "Who are you, and what do you know?",
                "Hello",
                "Known",
            )
            .build(),
        )
        .method(
            method(
                "append",
                "Append",
                "Entries, one request after the other, answered in order.",
                "Append",
                "Appended",
            )
            .client_streaming()
            .server_streaming()
            .build(),
        )
        .method(
            method(
                "heartbeat",
                "Heartbeat",
                "A single append, past all others.",
                "Append",
                "Appended",
            )
            .build(),
        )
        .method(method("vote", "Vote", "May I lead?", "Ballot", "Voted").build())
        .method(
            method(
                "transfer",
                "Transfer",
                "Lead in my place.",
                "Transfer",
                "Transferred",
            )
            .build(),
        )
        .method(
            method(
                "snapshot",
                "Snapshot",
                "A local snapshot, in parts.",
                "SnapshotPart",
                "SnapshotTaken",
            )
            .client_streaming()
            .build(),
        )
        .method(
            method(
                "read_index",
                "ReadIndex",
                "Up to where must a strong read wait?",
                "ReadIndex",
                "ReadAt",
            )
            .build(),
        )
        .method(method("join", "Join", "Take me in as a member.", "Join", "Joined").build())
        .method(
            method(
                "forward",
                "Forward",
                "A client's request, for the node that can answer it.",
                "Part",
                "Part",
            )
            .client_streaming()
            .server_streaming()
            .build(),
        )
        .build();
    Builder::new().compile(&[service]);
}
