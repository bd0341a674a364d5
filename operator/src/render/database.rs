//! The Secret and the Service of a database.

use super::{encoded, owner};
use crate::names::{self, HTTP_PORT};
use orion_crds::Database;
use orion_crds::database::DatabaseService;
use serde_json::{Value, json};

/// A Secret with a token.
#[derive(Clone, Copy, Debug)]
pub struct TokenSecret<'a> {
    /// Name of the Secret.
    pub secret: &'a str,
    /// The token; none where the group wants none.
    pub token: &'a str,
}

/// What belongs to a database.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DatabaseObjects {
    /// Secrets, the application's first.
    pub secrets: Vec<Value>,
    /// The alias of the group's Service.
    pub service: Option<Value>,
}

/// URL that every libSQL client takes as it stands: the slash at its end matters to some.
pub fn endpoint(group: &str, namespace: &str, database: &str) -> String {
    format!("http://{group}.{namespace}.svc:{HTTP_PORT}/{database}/")
}

/// The objects of a database that `group` in `namespace` serves as `name`.
pub fn database_objects(
    database: &Database,
    (group, namespace): (&str, &str),
    name: &str,
    tokens: &[TokenSecret<'_>],
) -> DatabaseObjects {
    let uri = endpoint(group, namespace, name);
    let host = format!("{group}.{namespace}.svc");
    let secrets = tokens.iter().map(|token| {
        // Keys of the Service Binding specification, and the variables that clients of libSQL read.
        let data = encoded([
            ("type", "libsql"),
            ("provider", "orion"),
            ("uri", &uri),
            ("host", &host),
            ("port", &HTTP_PORT.to_string()),
            ("database", name),
            ("token", token.token),
            ("LIBSQL_URL", &uri),
            ("LIBSQL_AUTH_TOKEN", token.token),
        ]);
        let body = json!({ "type": "servicebinding.io/libsql", "data": data });
        object(database, "Secret", token.secret, body)
    });
    let connection = &database.spec.connection;
    let own = database.metadata.name.clone().unwrap_or_default();
    let service = connection.service_name.as_deref().unwrap_or(&own);
    let alias = json!({"spec": { "type": "ExternalName", "externalName": format!("{host}.cluster.local") }});
    DatabaseObjects {
        secrets: secrets.collect(),
        service: match connection.service {
            DatabaseService::ExternalName => Some(object(database, "Service", service, alias)),
            DatabaseService::None => None,
        },
    }
}

fn object(database: &Database, kind: &str, name: &str, body: Value) -> Value {
    let own = database.metadata.name.as_deref().unwrap_or_default();
    let mut object = json!({
        "apiVersion": "v1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": database.metadata.namespace.as_deref().unwrap_or_default(),
            "labels": {
                "app.kubernetes.io/name": "orion",
                "app.kubernetes.io/managed-by": names::MANAGER,
                (names::DATABASE): own
            },
            "ownerReferences": [owner("Database", &database.metadata)]
        }
    });
    super::merge(&mut object, body);
    object
}
