//! The MCP server: tools and resources over an [`Api`].

use std::future::Future;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use rmcp::ServerHandler;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, CustomRequest,
    CustomResult, ErrorCode, ErrorData, Implementation, ListResourcesResult, ListToolsResult,
    PaginatedRequestParams, ReadResourceRequestParams, ReadResourceResponse, ReadResourceResult,
    Resource, ResourceContents, ServerCapabilities, ServerConfig, Tool,
};
use rmcp::service::{RequestContext, RoleServer};
use serde::Deserialize;

use super::api::{Api, ApiReply, ApiRequest};
use super::tools;
use crate::long_work::run_off_worker;
use crate::types::{truncate_for_display, written_size};

/// Start of the URI of a registered schema, before its name.
const SCHEMA_URI: &str = "extractd://schemas/";
/// Media type of a JSON Schema.
const SCHEMA_MEDIA_TYPE: &str = "application/schema+json";
/// Headers of an MCP request that are passed on to the API.
const PASSED_HEADERS: [&str; 4] = ["authorization", "traceparent", "tracestate", "x-request-id"];

/// Size of arguments that are dropped within about a millisecond, as JSON in bytes.
const MAX_QUICK_BYTES: usize = 16 * 1024;

const INSTRUCTIONS: &str = "extractd turns text into JSON that is valid against a JSON Schema. Use `extract` for one text and \
    `extract_batch` for some. For hundreds of texts use `start_job`, then `job_status` until it has ended, then `job_results`. \
    Resources are the registered schemas; their names can be passed as `schema`.";

/// MCP server over an [`Api`].
#[derive(Debug, Clone)]
pub struct McpServer<A> {
    api: A,
    tools: Arc<[Tool]>,
}

impl<A: Api> McpServer<A> {
    /// Creates a server whose tools call `api`.
    pub fn new(api: A) -> Self {
        Self {
            api,
            tools: tools::tools().into(),
        }
    }

    /// Sends a request with the headers of the MCP request, until the client cancels it.
    async fn send(
        &self,
        mut request: ApiRequest,
        context: &RequestContext<RoleServer>,
    ) -> Result<ApiReply, ErrorData> {
        if let Some(parts) = context.extensions.get::<http::request::Parts>() {
            request.headers = passed_headers(&parts.headers);
            request.extensions = parts.extensions.clone();
        }
        let reply = context
            .ct
            .run_until_cancelled(self.api.send(request))
            .await
            .ok_or_else(|| ErrorData::internal_error("the request was cancelled", None))?;
        reply.map_err(|message| ErrorData::internal_error(message, None))
    }

    /// Sends a request for a view, and returns its reply.
    async fn view(
        &self,
        path: String,
        context: &RequestContext<RoleServer>,
    ) -> Result<ApiReply, ErrorData> {
        let reply = self.send(ApiRequest::get(path), context).await?;
        if reply.is_success() {
            Ok(reply)
        } else if reply.status == http::StatusCode::NOT_FOUND {
            Err(ErrorData::resource_not_found(reply.text, None))
        } else {
            Err(ErrorData::internal_error(reply.text, None))
        }
    }
}

impl<A: Api> ServerHandler for McpServer<A> {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .build();
        ServerConfig::new(capabilities)
            .with_server_info(
                Implementation::new("extractd", env!("CARGO_PKG_VERSION")).with_title("extractd"),
            )
            .with_instructions(INSTRUCTIONS)
    }

    fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> impl Future<Output = Result<ListToolsResult, ErrorData>> + Send + '_ {
        std::future::ready(Ok(ListToolsResult::with_all_items(self.tools.to_vec())))
    }

    async fn on_custom_request(
        &self,
        request: CustomRequest,
        _: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        let method = truncate_for_display(&request.method).into_owned();
        let has_params = request.params.is_some();
        run_off_worker(has_params, || drop(request));
        Err(ErrorData::new(ErrorCode::METHOD_NOT_FOUND, method, None))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        call: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let arguments = call.arguments.unwrap_or_default();
        // What the tool does not take is dropped.
        let is_slow = written_size(&arguments, MAX_QUICK_BYTES).is_none();
        let request = run_off_worker(is_slow, || tools::request(&call.name, arguments))
            .map_err(|message| ErrorData::invalid_params(message, None))?;
        let reply = self.send(request, &context).await?;
        Ok(tool_result(reply).into())
    }

    async fn list_resources(
        &self,
        page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let after = page.and_then(|page| page.cursor);
        let path = match &after {
            Some(after) => format!("/v1/schemas?after={}", tools::percent_encoded(after)),
            None => "/v1/schemas".to_owned(),
        };
        let page = SchemaPage::deserialize(self.view(path, &context).await?.body)
            .map_err(|error| ErrorData::internal_error(error.to_string(), None))?;
        let resources = page.data.into_iter().map(|RegisteredSchema { name }| {
            Resource::new(format!("{SCHEMA_URI}{name}"), name)
                .with_description("Registered JSON Schema; its name can be passed as `schema`")
                .with_mime_type(SCHEMA_MEDIA_TYPE)
        });
        let mut listed = ListResourcesResult::with_all_items(resources.collect());
        listed.next_cursor = page.next;
        Ok(listed)
    }

    async fn read_resource(
        &self,
        asked: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        let name = asked.uri.strip_prefix(SCHEMA_URI).ok_or_else(|| {
            let message = format!(
                "there is no resource {}; the URI of a registered schema is {SCHEMA_URI}NAME",
                truncate_for_display(&asked.uri)
            );
            ErrorData::resource_not_found(message, None)
        })?;
        let path = format!("/v1/schemas/{}", tools::percent_encoded(name));
        let schema = self.view(path, &context).await?;
        let contents =
            ResourceContents::text(schema.text, asked.uri).with_mime_type(SCHEMA_MEDIA_TYPE);
        Ok(ReadResourceResult::new(vec![contents]).into())
    }
}

/// Page of the registered schemas.
#[derive(Debug, Deserialize)]
struct SchemaPage {
    data: Vec<RegisteredSchema>,
    next: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RegisteredSchema {
    name: String,
}

/// Returns the result of a tool: the reply of the API as JSON, as text too for clients that read nothing else. An error is
/// a result that the assistant can read and act on.
fn tool_result(reply: ApiReply) -> CallToolResult {
    let mut result = if reply.is_success() {
        CallToolResult::success(vec![ContentBlock::text(reply.text)])
    } else {
        CallToolResult::error(vec![ContentBlock::text(reply.text)])
    };
    result.structured_content = Some(reply.body);
    result
}

fn passed_headers(headers: &HeaderMap) -> HeaderMap {
    let passed = PASSED_HEADERS.map(HeaderName::from_static);
    passed
        .into_iter()
        .filter_map(|name| headers.get(&name).cloned().map(|value| (name, value)))
        .collect()
}
