//! The OpenAPI document, made from the handlers and types.

use utoipa::OpenApi;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Orion admin API",
        description = "Databases, groups and nodes of Orion's data plane. Errors are `{\"error\", \"message\", \"code\"}`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
        contact()
    ),
    paths(
        super::list_databases,
        super::create_database,
        super::get_database,
        super::checksum,
        super::change_database,
        super::drop_database,
        super::list_groups,
        super::get_group,
        super::change_members,
        super::remove_member,
        super::change_leader,
        super::change_format_level,
        super::list_nodes,
        super::metrics
    ),
    tags(
        (name = "databases", description = "One SQLite database each"),
        (name = "groups", description = "Nodes that agree by Raft"),
        (name = "nodes", description = "Server processes")
    )
)]
struct Document;

/// The document of this release.
pub fn document() -> utoipa::openapi::OpenApi {
    Document::openapi()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// The file is part of the API's review. `ORION_UPDATE_GOLDEN=1 cargo test` writes it anew.
    #[test]
    fn the_checked_in_document_is_what_the_handlers_say() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("api/openapi.json");
        let made = super::document().to_pretty_json().expect("serializable") + "\n";
        if std::env::var_os("ORION_UPDATE_GOLDEN").is_some() {
            std::fs::write(&path, &made).expect("writable");
        }
        let kept = std::fs::read_to_string(&path).expect("dataplane/api/openapi.json");
        assert!(
            made == kept,
            "{path:?} is old: run with ORION_UPDATE_GOLDEN=1 and read the difference"
        );
    }
}
