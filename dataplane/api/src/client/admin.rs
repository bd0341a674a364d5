//! Calls of the admin API.

use http::{HeaderMap, Method};
use url::form_urlencoded::Serializer;

use super::{Client, Error};
use crate::admin::{
    ChangeDatabase, ChangeFormatLevel, ChangeLeader, ChangeMembers, CreateDatabase, Database,
    DatabaseChecksum, DatabaseList, Group, GroupList, ListDatabases, Metrics, NodeList, ROOT,
};
use crate::{DatabaseName, GroupName, NodeId};

impl Client {
    /// One page of the databases.
    pub async fn list_databases(&self, query: &ListDatabases) -> Result<DatabaseList, Error> {
        self.get(&list_path(query)).await
    }

    /// All databases, page by page.
    pub async fn all_databases(&self, include_deleted: bool) -> Result<Vec<Database>, Error> {
        let mut query = ListDatabases {
            include_deleted,
            ..ListDatabases::default()
        };
        let mut all = Vec::new();
        loop {
            let page = self.list_databases(&query).await?;
            all.extend(page.databases);
            if page.next.is_none() || page.next == query.after {
                return Ok(all);
            }
            query.after = page.next;
        }
    }

    /// Creates a database, or answers with it if it is there with the same wishes.
    pub async fn create_database(&self, wish: &CreateDatabase) -> Result<Database, Error> {
        self.json(
            Method::POST,
            self.admin_url("/databases"),
            HeaderMap::new(),
            Some(wish),
        )
        .await
    }

    /// One database.
    pub async fn get_database(&self, name: &DatabaseName) -> Result<Database, Error> {
        self.get(&format!("/databases/{name}")).await
    }

    /// The checksum of the pages that the asked node itself has. It reads all of them.
    pub async fn checksum(&self, name: &DatabaseName) -> Result<DatabaseChecksum, Error> {
        self.get(&format!("/databases/{name}/checksum")).await
    }

    /// Changes a database's limits and answers with it.
    pub async fn change_database(
        &self,
        name: &DatabaseName,
        change: &ChangeDatabase,
    ) -> Result<Database, Error> {
        let url = self.admin_url(&format!("/databases/{name}"));
        self.json(Method::PATCH, url, HeaderMap::new(), Some(change))
            .await
    }

    /// Drops a database and answers with its tombstone.
    pub async fn drop_database(&self, name: &DatabaseName) -> Result<Database, Error> {
        let url = self.admin_url(&format!("/databases/{name}"));
        self.json(Method::DELETE, url, HeaderMap::new(), None::<&()>)
            .await
    }

    /// Groups with a member on that node.
    pub async fn list_groups(&self) -> Result<GroupList, Error> {
        self.get("/groups").await
    }

    /// One group.
    pub async fn get_group(&self, name: &GroupName) -> Result<Group, Error> {
        self.get(&format!("/groups/{name}")).await
    }

    /// Changes what members of a group are; answers with it.
    pub async fn change_members(&self, name: &GroupName, change: &ChangeMembers) -> Result<Group, Error> {
        let url = self.admin_url(&format!("/groups/{name}/members"));
        self.json(Method::PUT, url, HeaderMap::new(), Some(change)).await
    }

    /// Removes a member from a group, for good; answers with it.
    pub async fn remove_member(&self, name: &GroupName, member: NodeId) -> Result<Group, Error> {
        let url = self.admin_url(&format!("/groups/{name}/members/{member}"));
        self.json(Method::DELETE, url, HeaderMap::new(), None::<&()>)
            .await
    }

    /// Raises a group's format level; answers with it.
    pub async fn change_format_level(&self, name: &GroupName, level: u32) -> Result<Group, Error> {
        let url = self.admin_url(&format!("/groups/{name}/format-level"));
        self.json(
            Method::PUT,
            url,
            HeaderMap::new(),
            Some(&ChangeFormatLevel { level }),
        )
        .await
    }

    /// Lets a member lead its group; answers with it.
    pub async fn change_leader(&self, name: &GroupName, node: NodeId) -> Result<Group, Error> {
        let url = self.admin_url(&format!("/groups/{name}/leader"));
        self.json(Method::PUT, url, HeaderMap::new(), Some(&ChangeLeader { node }))
            .await
    }

    /// Nodes.
    pub async fn list_nodes(&self) -> Result<NodeList, Error> {
        self.get("/nodes").await
    }

    /// The node's numbers.
    pub async fn metrics(&self) -> Result<Metrics, Error> {
        self.get("/metrics").await
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        self.json(Method::GET, self.admin_url(path), HeaderMap::new(), None::<&()>)
            .await
    }

    fn admin_url(&self, path: &str) -> String {
        format!("{}{ROOT}{path}", self.root)
    }
}

/// Apart, because what writes parameters cannot be held by a call that goes from thread to thread.
fn list_path(query: &ListDatabases) -> String {
    let mut parameters = Serializer::new(String::new());
    if query.include_deleted {
        parameters.append_pair("include_deleted", "true");
    }
    if let Some(after) = &query.after {
        parameters.append_pair("after", after);
    }
    if let Some(limit) = query.limit {
        parameters.append_pair("limit", &limit.to_string());
    }
    format!("/databases?{}", parameters.finish())
}
