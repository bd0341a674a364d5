//! What connections are served with: pipelines by the shortest way, everything else by the router.
//!
//! Nearly all requests are pipelines. The router would match the path, keep what it matched, and box handler and bodies, which
//! is a good part of what a point query costs (DESIGN.md has the figures).

use super::body::Arrival;
use super::connections::Routes;
use super::elsewhere::{self, Leaders};
use super::pipeline;
use super::state::Http;
use crate::hrana::Databases;
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::Request;
use hyper::body::Incoming;
use std::sync::Arc;

/// Answers the requests of connections.
pub(crate) struct Front<D: Databases> {
    http: Arc<Http<D>>,
    /// All routes, pipelines too.
    router: Router,
    /// The other nodes, for what only they can do.
    leaders: Option<Arc<dyn Leaders>>,
}

impl<D: Databases> Front<D> {
    /// `router` are all routes of `http`.
    pub(crate) fn new(
        http: Arc<Http<D>>,
        router: Router,
        leaders: Option<Arc<dyn Leaders>>,
    ) -> Arc<Front<D>> {
        Arc::new(Front {
            http,
            router,
            leaders,
        })
    }

    /// What is not answered here, and is known not to be done here, goes on as any other request would.
    async fn pipeline(&self, request: Request<Incoming>) -> Result<Response, Request<Incoming>> {
        let Some(name) = pipeline::path_of(request.method(), request.uri().path()) else {
            return Err(request);
        };
        // The name lies in what `into_parts` moves.
        let name = name.map(str::to_owned);
        let (parts, body) = request.into_parts();
        let mut body = match &self.leaders {
            Some(_) => Arrival::anywhere(Body::new(body)),
            None => Arrival::here(Body::new(body)),
        };
        let answer = pipeline::answer(&self.http, name.as_deref(), &parts, &mut body).await;
        let response = answer.unwrap_or_else(IntoResponse::into_response);
        Ok(match &self.leaders {
            Some(leaders) if elsewhere::is_wanted(&response, leaders) => match body.whole() {
                // Rare, and large: every connection has room for what is not boxed here.
                Some(body) => Box::pin(elsewhere::go_on(&self.router, leaders, &parts, body, response)).await,
                None => response,
            },
            _ => response,
        })
    }
}

impl<D: Databases> Routes for Arc<Front<D>> {
    async fn answer(&self, request: Request<Incoming>) -> Response {
        let request = match self.pipeline(request).await {
            Ok(response) => return response,
            Err(request) => request,
        };
        match &self.leaders {
            Some(leaders) => Box::pin(elsewhere::answer(&self.router, leaders, request.map(Body::new))).await,
            None => self.router.answer(request).await,
        }
    }
}
