//! Flag that names the server.

/// Server to use.
#[derive(Debug, Clone, Default, clap::Args)]
#[expect(clippy::doc_markdown, reason = "a terminal shows these texts verbatim")]
pub struct ServerArgs {
    /// Server to use, with the key in EXTRACTD_API_KEY; without it a server runs within this process, configured like `extractd serve`
    #[arg(long, env = "EXTRACTD_SERVER", value_name = "URL")]
    pub server: Option<String>,
}
