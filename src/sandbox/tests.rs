//! The sandbox as its callers meet it: over HTTP, on port 0.

mod broken;
mod flow;
mod support;
mod transport;
mod vendors;
