//! Tests of the embedded page.

use super::*;

fn request(pairs: &[(HeaderName, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| (name.clone(), value.parse().unwrap()))
        .collect()
}

#[test]
fn gzip_is_sent_to_clients_that_accept_it() {
    for (accept, expected) in [
        ("gzip, deflate, br", true),
        ("br;q=1.0, GZIP;q=0.2", true),
        ("gzip;q=0", false),
        ("identity", false),
        ("", false),
    ] {
        assert_eq!(accepts_gzip(accept), expected, "{accept}");
    }
}

#[tokio::test]
async fn a_known_entity_tag_is_answered_with_304() {
    let first = page(request(&[])).await.unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    assert!(!first.headers().contains_key(CONTENT_ENCODING));
    let tag = first.headers()[ETAG].to_str().unwrap().to_owned();
    let mut headers = request(&[]);
    headers.insert(IF_NONE_MATCH, format!("\"other\", {tag}").parse().unwrap());
    let second = page(headers).await.unwrap();
    assert_eq!(second.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(second.headers()[ETAG].to_str().unwrap(), tag);
}

#[tokio::test]
async fn every_file_has_a_strict_policy_and_its_type() {
    for asset in &ASSETS {
        let headers = request(&[(ACCEPT_ENCODING, "gzip")]);
        let response = file(Path(asset.name.to_owned()), headers).await.unwrap();
        assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
        assert_eq!(response.headers()[CONTENT_TYPE], asset.content_type);
        let policy = response.headers()[CONTENT_SECURITY_POLICY]
            .to_str()
            .unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"));
    }
    assert!(
        file(Path("../Cargo.toml".to_owned()), request(&[]))
            .await
            .is_err()
    );
}

#[test]
fn the_page_names_only_its_own_files() {
    let html = std::str::from_utf8(ASSETS[0].plain).unwrap();
    for part in html
        .split("src=\"")
        .skip(1)
        .chain(html.split("href=\"").skip(1))
    {
        let target = part.split('"').next().unwrap();
        let name = target.strip_prefix("/ui/");
        let is_own = name.is_some_and(|name| ASSETS.iter().any(|asset| asset.name == name));
        let is_view = target.starts_with("#/");
        assert!(is_own || is_view || target == "/docs/", "{target}");
    }
    let total: usize = ASSETS.iter().map(|asset| asset.gzip.len()).sum();
    assert!(total <= 200 * 1024, "{total} bytes compressed");
}
