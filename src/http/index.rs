//! `GET /`: a page that says what this is and where to go on.

use axum::response::Html;

const PAGE: &str = include_str!("page.html");

/// The page; it loads nothing from elsewhere.
pub async fn index() -> Html<&'static str> {
    Html(PAGE)
}
