//! The routes over a server that is only a map.

use std::collections::BTreeMap;

use orion_api::admin::{DatabaseState, Limits, LimitsChange};
use orion_api::client::Client;
use orion_api::{DatabaseId, Epoch, Version};
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[derive(Default)]
struct Map(Mutex<BTreeMap<DatabaseName, Database>>);

#[async_trait]
impl Admin for Map {
    async fn list_databases(&self, query: ListDatabases) -> Result<DatabaseList, Error> {
        let all = self.0.lock();
        let shown = all
            .values()
            .filter(|database| query.include_deleted || database.deleted_at_ms.is_none());
        Ok(DatabaseList {
            databases: shown.cloned().collect(),
            next: None,
        })
    }

    async fn create_database(&self, wish: CreateDatabase) -> Result<Created, Error> {
        let mut all = self.0.lock();
        if let Some(there) = all.get(&wish.name) {
            return match there.limits == wish.limits {
                true => Ok(Created::Existing(there.clone())),
                false => Err(Error::new(Code::DatabaseExists, "exists with other limits")),
            };
        }
        let database = Database {
            id: DatabaseId::random(),
            name: wish.name.clone(),
            state: DatabaseState::Active,
            group: "default".parse().map_err(invalid)?,
            epoch: Epoch(1),
            version: Version(0),
            size_bytes: 0,
            created_at_ms: 1,
            deleted_at_ms: None,
            limits: wish.limits,
            endpoint: None,
        };
        all.insert(wish.name, database.clone());
        Ok(Created::New(database))
    }

    async fn get_database(&self, name: DatabaseName) -> Result<Database, Error> {
        let missing = || Error::new(Code::DatabaseNotFound, format!("there is no database {name}"));
        self.0.lock().get(&name).cloned().ok_or_else(missing)
    }

    async fn checksum(&self, name: DatabaseName) -> Result<DatabaseChecksum, Error> {
        let database = self.get_database(name).await?;
        Ok(DatabaseChecksum {
            id: database.id,
            node: NodeId(1),
            epoch: database.epoch,
            version: database.version,
            page_count: 0,
            checksum: "0".repeat(16),
            chain: "0".repeat(32),
        })
    }

    async fn change_database(&self, name: DatabaseName, change: ChangeDatabase) -> Result<Database, Error> {
        let mut database = self.get_database(name.clone()).await?;
        database.limits = change.limits.of(&database.limits);
        self.0.lock().insert(name, database.clone());
        Ok(database)
    }

    async fn drop_database(&self, name: DatabaseName) -> Result<Database, Error> {
        let mut database = self.get_database(name.clone()).await?;
        database.state = DatabaseState::Dropped;
        database.deleted_at_ms = Some(2);
        self.0.lock().insert(name, database.clone());
        Ok(database)
    }

    async fn list_groups(&self) -> Result<GroupList, Error> {
        Ok(GroupList::default())
    }

    async fn get_group(&self, _: GroupName) -> Result<Group, Error> {
        Err(Error::new(Code::NotFound, "no group"))
    }

    async fn change_members(&self, _: GroupName, change: ChangeMembers) -> Result<Group, Error> {
        Err(Error::new(
            Code::MembershipConflict,
            format!("{:?}", change.roles),
        ))
    }

    async fn remove_member(&self, _: GroupName, member: NodeId) -> Result<Group, Error> {
        Err(Error::new(Code::MembershipConflict, member.to_string()))
    }

    async fn change_format_level(&self, _: GroupName, change: ChangeFormatLevel) -> Result<Group, Error> {
        Err(Error::new(Code::MembershipConflict, change.level.to_string()))
    }

    async fn change_leader(&self, _: GroupName, change: ChangeLeader) -> Result<Group, Error> {
        Err(Error::new(Code::MembershipConflict, change.node.to_string()))
    }

    async fn list_nodes(&self) -> Result<NodeList, Error> {
        Err(Error::new(Code::Overloaded, "later"))
    }

    async fn metrics(&self) -> Result<Metrics, Error> {
        Ok(Metrics::default())
    }
}

/// Serves a fresh map on loopback until the test's runtime ends.
async fn serve() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let address = listener.local_addr().expect("bound");
    let app = router(Arc::new(Map::default()));
    tokio::spawn(async move { axum::serve(listener, app).await });
    format!("http://{address}")
}

fn wish(name: &str) -> CreateDatabase {
    CreateDatabase::named(name.parse().expect("valid"))
}

#[tokio::test]
async fn the_typed_client_does_what_the_routes_offer() {
    let client = Client::new(&serve().await, None).expect("valid");
    let first = client.create_database(&wish("a")).await.expect("created");
    let again = client.create_database(&wish("a")).await.expect("there");
    assert_eq!(first, again);
    client.create_database(&wish("b")).await.expect("created");
    assert_eq!(client.get_database(&first.name).await.expect("there"), first);
    let change = ChangeDatabase {
        limits: LimitsChange {
            streams: Some(Some(3)),
            ..LimitsChange::default()
        },
    };
    let changed = client
        .change_database(&first.name, &change)
        .await
        .expect("changed");
    assert_eq!(changed.limits.streams, Some(3));
    let tombstone = client.drop_database(&first.name).await.expect("dropped");
    assert_eq!(tombstone.state, DatabaseState::Dropped);
    assert_eq!(client.all_databases(false).await.expect("listed").len(), 1);
    assert_eq!(client.all_databases(true).await.expect("listed").len(), 2);
    assert_eq!(client.list_groups().await.expect("listed"), GroupList::default());
    assert_eq!(client.metrics().await.expect("numbers"), Metrics::default());
}

#[tokio::test]
async fn errors_keep_their_code_over_the_wire() {
    let client = Client::new(&serve().await, None).expect("valid");
    let missing = client
        .get_database(&"x".parse().expect("valid"))
        .await
        .expect_err("missing");
    assert_eq!(missing.code(), Some(Code::DatabaseNotFound));
    client.create_database(&wish("a")).await.expect("created");
    let mut other = wish("a");
    other.limits = Limits {
        streams: Some(1),
        ..Limits::default()
    };
    let conflict = client.create_database(&other).await.expect_err("other limits");
    assert_eq!(conflict.code(), Some(Code::DatabaseExists));
    let busy = client.list_nodes().await.expect_err("busy");
    assert_eq!(busy.kind(), orion_api::Kind::Overloaded);
    other.idempotency_key = Some("k".repeat(513));
    let long = client.create_database(&other).await.expect_err("too long a key");
    assert_eq!(long.code(), Some(Code::InvalidRequest));
}

/// Sends bytes as they are and returns the status and the code of the reply.
async fn raw(url: &str, request: String) -> (String, String) {
    let mut stream = tokio::net::TcpStream::connect(&url["http://".len()..])
        .await
        .expect("listening");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await.expect("UTF-8");
    let (head, body) = reply.split_once("\r\n\r\n").expect("a head");
    let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
    let code = body["code"].as_str().unwrap_or_default().to_owned();
    (head[9..12].to_owned(), code)
}

#[tokio::test]
async fn what_no_client_of_ours_sends_is_refused_with_a_code() {
    let url = serve().await;
    let cases = [
        ("POST", "/databases", "{", "400", "INVALID_REQUEST"),
        (
            "POST",
            "/databases",
            r#"{"name":"Not Valid"}"#,
            "400",
            "INVALID_REQUEST",
        ),
        (
            "POST",
            "/databases",
            r#"{"name":"a","what":1}"#,
            "400",
            "INVALID_REQUEST",
        ),
        ("GET", "/databases?limit=x", "", "400", "INVALID_REQUEST"),
        ("GET", "/databases?limits=1", "", "400", "INVALID_REQUEST"),
        ("GET", "/databases/%20", "", "400", "INVALID_REQUEST"),
        ("GET", "/databases/%ff", "", "400", "INVALID_REQUEST"),
        ("DELETE", "/databases/%ff", "", "400", "INVALID_REQUEST"),
        ("GET", "/groups/%ff", "", "400", "INVALID_REQUEST"),
        ("GET", "/nothing", "", "404", "NOT_FOUND"),
        ("PATCH", "/databases", "", "405", "METHOD_NOT_ALLOWED"),
        ("GET", "/openapi.json", "", "200", ""),
    ];
    for (method, path, body, status, code) in cases {
        let length = body.len();
        let request = format!(
            "{method} {ROOT}{path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        );
        let got = raw(&url, request).await;
        assert_eq!(
            got,
            (status.to_owned(), code.to_owned()),
            "{method} {path} {body}"
        );
    }
    let large = "x".repeat(BODY_BYTES_MAX as usize + 1);
    let request = format!(
        "POST {ROOT}/databases HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{large}",
        large.len()
    );
    assert_eq!(
        raw(&url, request).await,
        ("413".to_owned(), "REQUEST_TOO_LARGE".to_owned())
    );
}
