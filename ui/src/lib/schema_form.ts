// A form for the schemas that a table needs: an object whose properties are simple. Anything else keeps its JSON.
import type { Json } from "./types";

type Schema = Record<string, Json>;

export const FIELD_TYPES = {
  text: "Text",
  integer: "Whole number",
  number: "Number",
  boolean: "Yes or no",
  choice: "One of …",
  date: "Date",
  list: "List of texts",
  json: "As in the JSON",
} as const;

export type FieldType = keyof typeof FIELD_TYPES;

export interface Field {
  name: string;
  type: FieldType;
  description: string;
  choices: string[];
  required: boolean;
  /** Schema of a property that the form cannot show. */
  raw?: Json;
}

const same = (left: unknown, right: unknown): boolean => JSON.stringify(left) === JSON.stringify(right);

/** Returns the form of a schema; `undefined` unless it is an object with properties. */
export function toFields(schema: unknown): Field[] | undefined {
  if (typeof schema !== "object" || schema === null || Array.isArray(schema)) return undefined;
  const { type, properties = {}, required = [] } = schema as Schema;
  if (type !== "object" || typeof properties !== "object" || !Array.isArray(required)) return undefined;
  return Object.entries(properties as Schema).map(([name, property]) => toField(name, property, required.includes(name)));
}

function toField(name: string, property: Json, required: boolean): Field {
  const { description = "", ...rest } = typeof property === "object" && property !== null ? (property as Schema) : {};
  const field: Field = { name, type: "json", description: String(description), choices: [], required };
  if (Array.isArray(rest.enum) && rest.enum.every((choice) => typeof choice === "string")) {
    return { ...field, type: "choice", choices: rest.enum as string[] };
  }
  for (const type of Object.keys(PLAIN) as (keyof typeof PLAIN)[]) {
    if (same(rest, PLAIN[type])) return { ...field, type };
  }
  return { ...field, raw: property };
}

const PLAIN = {
  text: { type: "string" },
  integer: { type: "integer" },
  number: { type: "number" },
  boolean: { type: "boolean" },
  date: { type: "string", format: "date" },
  list: { type: "array", items: { type: "string" } },
} satisfies Partial<Record<FieldType, Json>>;

/** Returns the schema of a form. What the form does not show (title, definitions) is taken from the earlier schema. */
export function toSchema(fields: Field[], earlier: unknown): Schema {
  const base = typeof earlier === "object" && earlier !== null && !Array.isArray(earlier) ? (earlier as Schema) : {};
  const properties: Schema = {};
  for (const field of fields) if (field.name) properties[field.name] = property(field);
  const required = fields.filter((field) => field.required && field.name).map((field) => field.name);
  return { additionalProperties: false, ...base, type: "object", properties, required };
}

function property(field: Field): Json {
  if (field.type === "json") return field.raw ?? {};
  const schema: Schema = field.type === "choice" ? { type: "string", enum: field.choices } : { ...PLAIN[field.type] };
  return field.description ? { ...schema, description: field.description } : schema;
}

/** Schema by which a model proposes the fields of a table. Bounded, so that a small model comes to an end. */
export const PROPOSAL: Schema = {
  title: "Fields",
  type: "object",
  properties: {
    fields: {
      type: "array",
      minItems: 1,
      maxItems: 8,
      items: {
        type: "object",
        properties: {
          name: { type: "string", description: "snake_case", pattern: "^[a-z][a-z0-9_]{0,30}$" },
          type: { type: "string", enum: ["text", "integer", "number", "boolean", "date", "list", "choice"] },
          description: { type: "string", maxLength: 80 },
          choices: { type: "array", maxItems: 8, items: { type: "string", maxLength: 30 } },
        },
        required: ["name", "type", "description", "choices"],
        additionalProperties: false,
      },
    },
  },
  required: ["fields"],
  additionalProperties: false,
};

export const PROPOSAL_INSTRUCTIONS =
  "The input is a sample of texts of one kind. Propose the columns of a table that holds what these texts say: three to eight fields, " +
  "each in most of the texts, with a short description. Use `choice` with its `choices` for a category with few values; leave `choices` empty otherwise.";

/** Returns the names of a schema's columns. */
export function columnsOf(schema: unknown): string[] {
  return toFields(schema)?.map((field) => field.name) ?? [];
}
