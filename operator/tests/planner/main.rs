//! Plans, tried on a world of our own: Kubernetes' controllers, kubelets, Raft and people, reduced to what a plan can
//! notice. Scenarios say what must come of one thing; `convergence` lets random things happen in any order.

mod convergence;
mod database;
mod golden;
mod notices;
mod scenarios;
mod world;
