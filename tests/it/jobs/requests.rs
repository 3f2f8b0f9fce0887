//! Requests for durable jobs: create, list, show, cancel, retry and delete.

mod create;
mod view_and_change;

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::Method;
use serde_json::json;

use super::{JOBS, LIMIT, asking, ended, made, path, post, results, show};
use crate::support::client::{check_pointer, eventually};
use crate::support::fixture::{batch, check_each_once, found, person, schema_query, with};
use crate::support::server::Server;
use crate::upstream::{Gate, Reply, Upstream};
