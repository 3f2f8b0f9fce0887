// Outages: providers that no call goes to until a probe succeeds, in words.
import type { Blocked } from "./types";

const REASONS: Record<string, [string, string]> = {
  key_refused: ["refuses the key", "Set a valid key in the configuration and restart."],
  access_denied: ["denies access", "Ask the provider to grant this key access to the model, or name another model."],
  quota_exhausted: ["says that the quota is used up", "Add credit at the provider, or name a model of another provider."],
  unknown_model: ["does not know the model", "Correct the model's name in the request or the configuration."],
  not_found: ["has nothing at this address", "Correct the provider's `base_url` in the configuration and restart."],
};

/** Returns what a provider refuses, as the end of a sentence that begins with its name. */
export const outageText = (reason: string): string => REASONS[reason]?.[0] ?? reason.replaceAll("_", " ");

/** Returns what to do about an outage. */
export const outageAdvice = ({ reason }: Blocked): string => REASONS[reason]?.[1] ?? "See the log of the server.";
