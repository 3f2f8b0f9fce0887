//! Prints the evidence of texts and values: a JSON file of pairs.

fn main() {
    let path = std::env::args().nth(1).unwrap_or_default();
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let cases: Vec<(String, serde_json::Value)> = serde_json::from_str(&text).unwrap_or_default();
    for (text, value) in &cases {
        println!("\n{text}");
        for leaf in evidence::Index::new(text).align(value, &evidence::Options::default()) {
            let wanted = value
                .pointer(&leaf.pointer)
                .map(ToString::to_string)
                .unwrap_or_default();
            println!(
                "   {:12} {wanted:28} {:?} {:?} {:?}",
                leaf.pointer,
                leaf.status,
                leaf.text,
                leaf.spans.iter().map(|s| s.start).collect::<Vec<_>>()
            );
        }
    }
}
