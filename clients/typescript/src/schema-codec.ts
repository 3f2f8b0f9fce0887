/** Schemas: JSON Schema as it is, or a library's schema that can write itself as JSON Schema (zod, ArkType, Valibot). */

import { InvalidDataError } from "./errors.js";

/** JSON Schema, whose data is returned as `T`. */
export type JsonSchema<T = unknown> = { readonly [keyword: string]: unknown } & { readonly "~type"?: T };

/** Part of Standard Schema and Standard JSON Schema that this package uses; zod 4.2 and later implement it. */
export interface StandardSchema<T = unknown> {
  readonly "~standard": {
    readonly version: 1;
    readonly vendor: string;
    readonly types?: { readonly input: unknown; readonly output: T } | undefined;
    readonly validate: (value: unknown) => StandardResult<T> | Promise<StandardResult<T>>;
    readonly jsonSchema: {
      readonly input: (options: { readonly target: "draft-2020-12" }) => Record<string, unknown>;
    };
  };
}

type StandardResult<T> =
  | { readonly value: T; readonly issues?: undefined }
  | { readonly issues: readonly { readonly message: string }[] };

/** Schema of an extraction: a library's schema, a JSON Schema, or the name of a registered schema. */
export type AnySchema<T> = StandardSchema<T> | JsonSchema<T> | string;

function isStandard<T>(schema: AnySchema<T>): schema is StandardSchema<T> {
  return typeof schema !== "string" && "~standard" in schema;
}

/** Returns the `schema` field of a request. */
export function wireSchema(schema: AnySchema<unknown>): string | Record<string, unknown> {
  if (!isStandard(schema)) return schema as string | Record<string, unknown>;
  const standard = schema["~standard"];
  if (!("jsonSchema" in standard)) {
    throw new TypeError(`this version of ${standard["vendor"]} cannot write JSON Schema; update it (zod: 4.2), or pass a JSON Schema`);
  }
  return standard.jsonSchema.input({ target: "draft-2020-12" });
}

/** Returns data that the server validated as the type of the schema. */
export async function decode<T>(schema: AnySchema<T>, data: unknown): Promise<T> {
  if (!isStandard(schema)) return data as T;
  const result = await schema["~standard"].validate(data);
  if (result.issues) throw new InvalidDataError(data, result.issues);
  return result.value;
}
