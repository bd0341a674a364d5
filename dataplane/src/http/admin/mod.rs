//! The admin API's routes, `/_orion/v1/…`: JSON in and out, described by an OpenAPI document that is made from
//! these handlers and kept as `dataplane/api/openapi.json`. It decides nothing: [`Admin`] does, and the server
//! implements it. Authentication is a layer around these routes, not part of them.

mod openapi;
mod reply;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::routing::{delete, get, put};
use http::{HeaderMap, StatusCode, Uri};
use orion_api::admin::{
    ChangeDatabase, ChangeFormatLevel, ChangeLeader, ChangeMembers, CreateDatabase, Database,
    DatabaseChecksum, DatabaseList, Group, GroupList, IDEMPOTENCY_KEY_BYTES_MAX, ListDatabases, Metrics,
    NodeList, ROOT,
};
use orion_api::error::ErrorBody;
use orion_api::{Code, DatabaseName, GroupName, NodeId};

use super::path::{NamePair, NamePath};
pub use openapi::document;
use reply::{Json, body, invalid, no_such_path, query};

/// Why an admin request was not done.
pub use crate::http::HttpError as Error;

/// No body of this API comes near this.
const BODY_BYTES_MAX: u64 = 64 * 1024;

/// What the routes ask of the server. Every change is idempotent and answers with the object.
#[async_trait]
pub trait Admin: Send + Sync + 'static {
    /// Databases by name, one page.
    async fn list_databases(&self, query: ListDatabases) -> Result<DatabaseList, Error>;
    /// Creates a database; `Existing` if it was there with the same wishes, `DATABASE_EXISTS` if with others.
    async fn create_database(&self, wish: CreateDatabase) -> Result<Created, Error>;
    /// The database of this name that is not dropped, else the one dropped last.
    async fn get_database(&self, name: DatabaseName) -> Result<Database, Error>;
    /// The checksum of the pages that this node has.
    async fn checksum(&self, name: DatabaseName) -> Result<DatabaseChecksum, Error>;
    /// Changes its limits, as far as said; answers with it.
    async fn change_database(&self, name: DatabaseName, change: ChangeDatabase) -> Result<Database, Error>;
    /// Drops it; answers with the tombstone, also if it was dropped before.
    async fn drop_database(&self, name: DatabaseName) -> Result<Database, Error>;
    /// Groups with a member here.
    async fn list_groups(&self) -> Result<GroupList, Error>;
    /// One of them.
    async fn get_group(&self, name: GroupName) -> Result<Group, Error>;
    /// Changes what its members are; answers with it. `CONFLICT` with a reason if that cannot be now.
    async fn change_members(&self, name: GroupName, change: ChangeMembers) -> Result<Group, Error>;
    /// A member leaves; answers with the group, also if it was not there.
    async fn remove_member(&self, name: GroupName, member: NodeId) -> Result<Group, Error>;
    /// Lets another member lead; answers with the group.
    async fn change_leader(&self, name: GroupName, change: ChangeLeader) -> Result<Group, Error>;
    /// Raises the format level; answers with the group, also if it was so. `CONFLICT` if a member does not read it.
    async fn change_format_level(&self, name: GroupName, change: ChangeFormatLevel) -> Result<Group, Error>;
    /// Nodes known here.
    async fn list_nodes(&self) -> Result<NodeList, Error>;
    /// This node's numbers.
    async fn metrics(&self) -> Result<Metrics, Error>;
}

/// What creating found.
#[derive(Clone, Debug, PartialEq)]
pub enum Created {
    /// It is new.
    New(Database),
    /// It was there.
    Existing(Database),
}

type Server = State<Arc<dyn Admin>>;

/// The routes.
pub fn router(admin: Arc<dyn Admin>) -> Router {
    let routes = Router::new()
        .route("/databases", get(list_databases).post(create_database))
        .route(
            "/databases/{name}",
            get(get_database).patch(change_database).delete(drop_database),
        )
        .route("/databases/{name}/checksum", get(checksum))
        .route("/groups", get(list_groups))
        .route("/groups/{name}", get(get_group))
        .route("/groups/{name}/members", put(change_members))
        .route("/groups/{name}/members/{node}", delete(remove_member))
        .route("/groups/{name}/leader", put(change_leader))
        .route("/groups/{name}/format-level", put(change_format_level))
        .route("/nodes", get(list_nodes))
        .route("/metrics", get(metrics))
        .route("/openapi.json", get(openapi))
        .fallback(no_such_path)
        .method_not_allowed_fallback(reply::no_such_method)
        .with_state(admin);
    Router::new().nest(ROOT, routes)
}

/// Databases by name, in pages.
#[utoipa::path(get, path = "/_orion/v1/databases", tag = "databases", params(ListDatabases), responses(
    (status = 200, body = DatabaseList), (status = 400, body = ErrorBody, description = "a parameter is wrong")
))]
async fn list_databases(State(admin): Server, uri: Uri) -> Result<Json<DatabaseList>, Error> {
    Ok(Json(admin.list_databases(query(&uri)?).await?))
}

/// Create a database. The same wish again answers with the database as it is.
#[utoipa::path(post, path = "/_orion/v1/databases", tag = "databases", request_body = CreateDatabase, responses(
    (status = 201, body = Database, description = "created"),
    (status = 200, body = Database, description = "was there, with the same wishes"),
    (status = 400, body = ErrorBody, description = "the wish is wrong"),
    (status = 409, body = ErrorBody, description = "a database of this name exists with other wishes, or the key was used for another wish"),
    (status = 429, body = ErrorBody, description = "a limit of the node or group is reached")
))]
async fn create_database(
    State(admin): Server,
    headers: HeaderMap,
    sent: Body,
) -> Result<(StatusCode, Json<Database>), Error> {
    let wish: CreateDatabase = body(&headers, sent).await?;
    let key_bytes = wish.idempotency_key.as_ref().map_or(1, String::len);
    if !(1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key_bytes) {
        let message =
            format!("idempotency_key must have 1 to {IDEMPOTENCY_KEY_BYTES_MAX} bytes, not {key_bytes}");
        return Err(Error::new(Code::InvalidRequest, message));
    }
    Ok(match admin.create_database(wish).await? {
        Created::New(database) => (StatusCode::CREATED, Json(database)),
        Created::Existing(database) => (StatusCode::OK, Json(database)),
    })
}

/// One database; a dropped one until its data is purged.
#[utoipa::path(get, path = "/_orion/v1/databases/{name}", tag = "databases", params(("name" = String, Path)), responses(
    (status = 200, body = Database), (status = 404, body = ErrorBody, description = "no such database")
))]
async fn get_database(State(admin): Server, NamePath(name): NamePath) -> Result<Json<Database>, Error> {
    Ok(Json(admin.get_database(parse_name(&name)?).await?))
}

/// A checksum over all pages of a database as this very node has them, to compare members. It reads them all.
#[utoipa::path(get, path = "/_orion/v1/databases/{name}/checksum", tag = "databases", params(("name" = String, Path)), responses(
    (status = 200, body = DatabaseChecksum),
    (status = 404, body = ErrorBody, description = "no such database"),
    (status = 500, body = ErrorBody, description = "a page is damaged, or cannot be read")
))]
async fn checksum(State(admin): Server, NamePath(name): NamePath) -> Result<Json<DatabaseChecksum>, Error> {
    Ok(Json(admin.checksum(parse_name(&name)?).await?))
}

/// Change a database's limits: those that are named, `null` for the node's default. In force at once.
#[utoipa::path(patch, path = "/_orion/v1/databases/{name}", tag = "databases", params(("name" = String, Path)), request_body = ChangeDatabase, responses(
    (status = 200, body = Database, description = "the database as it is now"),
    (status = 400, body = ErrorBody, description = "the change is wrong"),
    (status = 404, body = ErrorBody, description = "no such database")
))]
async fn change_database(
    State(admin): Server,
    NamePath(name): NamePath,
    headers: HeaderMap,
    sent: Body,
) -> Result<Json<Database>, Error> {
    let change: ChangeDatabase = body(&headers, sent).await?;
    Ok(Json(admin.change_database(parse_name(&name)?, change).await?))
}

/// Drop a database. Its data is kept until the retention is over; its name is free at once.
#[utoipa::path(delete, path = "/_orion/v1/databases/{name}", tag = "databases", params(("name" = String, Path)), responses(
    (status = 200, body = Database, description = "the tombstone, also if it was dropped before"),
    (status = 404, body = ErrorBody, description = "no such database")
))]
async fn drop_database(State(admin): Server, NamePath(name): NamePath) -> Result<Json<Database>, Error> {
    Ok(Json(admin.drop_database(parse_name(&name)?).await?))
}

/// Groups with a member on this node.
#[utoipa::path(get, path = "/_orion/v1/groups", tag = "groups", responses((status = 200, body = GroupList)))]
async fn list_groups(State(admin): Server) -> Result<Json<GroupList>, Error> {
    Ok(Json(admin.list_groups().await?))
}

/// One group.
#[utoipa::path(get, path = "/_orion/v1/groups/{name}", tag = "groups", params(("name" = String, Path)), responses(
    (status = 200, body = Group), (status = 404, body = ErrorBody, description = "no such group here")
))]
async fn get_group(State(admin): Server, NamePath(name): NamePath) -> Result<Json<Group>, Error> {
    let name: GroupName = name.parse().map_err(invalid)?;
    Ok(Json(admin.get_group(name).await?))
}

/// Change what members of a group are: who votes, who only learns. All at once; who is to vote must have caught up.
#[utoipa::path(put, path = "/_orion/v1/groups/{name}/members", tag = "groups", params(("name" = String, Path)), request_body = ChangeMembers, responses(
    (status = 200, body = Group, description = "the group as it is now"),
    (status = 404, body = ErrorBody, description = "no such group here"),
    (status = 409, body = ErrorBody, description = "not possible now, with the reason")
))]
async fn change_members(
    State(admin): Server,
    NamePath(name): NamePath,
    headers: HeaderMap,
    sent: Body,
) -> Result<Json<Group>, Error> {
    let change: ChangeMembers = body(&headers, sent).await?;
    let name: GroupName = name.parse().map_err(invalid)?;
    Ok(Json(admin.change_members(name, change).await?))
}

/// Remove a member from a group, for good: its id never comes back.
#[utoipa::path(delete, path = "/_orion/v1/groups/{name}/members/{node}", tag = "groups", params(("name" = String, Path), ("node" = String, Path)), responses(
    (status = 200, body = Group, description = "the group without it, also if it was not in it"),
    (status = 404, body = ErrorBody, description = "no such group here"),
    (status = 409, body = ErrorBody, description = "nobody would be left who votes")
))]
async fn remove_member(State(admin): Server, NamePair(name, node): NamePair) -> Result<Json<Group>, Error> {
    let name: GroupName = name.parse().map_err(invalid)?;
    let node: NodeId = node.parse().map_err(invalid)?;
    Ok(Json(admin.remove_member(name, node).await?))
}

/// Let another member lead a group.
#[utoipa::path(put, path = "/_orion/v1/groups/{name}/leader", tag = "groups", params(("name" = String, Path)), request_body = ChangeLeader, responses(
    (status = 200, body = Group, description = "the group, with that leader"),
    (status = 404, body = ErrorBody, description = "no such group here"),
    (status = 503, body = ErrorBody, description = "it did not take over")
))]
async fn change_leader(
    State(admin): Server,
    NamePath(name): NamePath,
    headers: HeaderMap,
    sent: Body,
) -> Result<Json<Group>, Error> {
    let change: ChangeLeader = body(&headers, sent).await?;
    let name: GroupName = name.parse().map_err(invalid)?;
    Ok(Json(admin.change_leader(name, change).await?))
}

/// Let a group write newer formats. A release that does not read them cannot be started again in it.
#[utoipa::path(put, path = "/_orion/v1/groups/{name}/format-level", tag = "groups", params(("name" = String, Path)), request_body = ChangeFormatLevel, responses(
    (status = 200, body = Group, description = "the group, at that level or a newer one"),
    (status = 404, body = ErrorBody, description = "no such group here"),
    (status = 409, body = ErrorBody, description = "a member does not read that level")
))]
async fn change_format_level(
    State(admin): Server,
    NamePath(name): NamePath,
    headers: HeaderMap,
    sent: Body,
) -> Result<Json<Group>, Error> {
    let change: ChangeFormatLevel = body(&headers, sent).await?;
    let name: GroupName = name.parse().map_err(invalid)?;
    Ok(Json(admin.change_format_level(name, change).await?))
}

/// Nodes known here.
#[utoipa::path(get, path = "/_orion/v1/nodes", tag = "nodes", responses((status = 200, body = NodeList)))]
async fn list_nodes(State(admin): Server) -> Result<Json<NodeList>, Error> {
    Ok(Json(admin.list_nodes().await?))
}

/// This node's numbers.
#[utoipa::path(get, path = "/_orion/v1/metrics", tag = "nodes", responses((status = 200, body = Metrics)))]
async fn metrics(State(admin): Server) -> Result<Json<Metrics>, Error> {
    Ok(Json(admin.metrics().await?))
}

async fn openapi() -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}

fn parse_name(name: &str) -> Result<DatabaseName, Error> {
    name.parse().map_err(invalid)
}
