export * from "./client.js";
export * from "./errors.js";
export { type FollowOptions, Job, type JobInfo } from "./job.js";
export { type Result, valueOf, type WireResult } from "./result.js";
export type { AnySchema, JsonSchema, StandardSchema } from "./schema-codec.js";
export type { components, paths } from "./schema.js";
