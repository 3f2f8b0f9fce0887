pub mod config; pub mod extract; pub mod limits; pub mod model; pub mod net; pub mod provider; pub mod schema; pub mod telemetry;
