//! `GET /`: a static page with an example request and links to the documentation.

use axum::response::Html;

const PAGE: &str = include_str!("page.html");

/// Returns the page, which loads nothing from other servers.
pub async fn index() -> Html<&'static str> {
    Html(PAGE)
}
