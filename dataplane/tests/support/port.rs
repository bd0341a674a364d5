//! Where servers under test listen.

use std::net::{IpAddr, SocketAddr, TcpListener};

/// A port that is free. Not of the range from which the system takes ports for outgoing connections: one of those may have it
/// when it is needed, or needed again.
pub fn free_port(ip: IpAddr) -> u16 {
    let is_free = |port: &u16| TcpListener::bind(SocketAddr::new(ip, *port)).is_ok();
    let mut ports = std::iter::repeat_with(|| rand::random_range(10_000..32_000));
    ports.by_ref().take(1000).find(is_free).expect("a port")
}
