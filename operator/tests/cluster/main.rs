//! The operator against a real API server with its controllers. There are no kubelets: `kubelet` lets pods run as soon as
//! they are there, and `nodes` answers for each as a node of the data plane would, keeping membership and databases.

mod bad_days;
mod events;
mod kubelet;
mod lease;
mod machines;
mod nodes;
mod program;
mod reconcile;
mod roles;
mod scale;
mod stage;
