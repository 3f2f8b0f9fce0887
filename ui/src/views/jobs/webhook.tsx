// The delivery of a job's webhook: whether it arrived, how often it was tried, and what the receiver answered.
import { ago, duration, plural } from "../../lib/format";
import type { WebhookDelivery } from "../../lib/types";
import { Figure, Panel, Status } from "../../parts/basics";

const STATES: Record<WebhookDelivery["status"], string> = { pending: "waiting", delivered: "delivered", given_up: "given up" };

/** Returns one line about a delivery that needs attention; empty for one that arrived. */
export function deliveryNote(delivery: WebhookDelivery | null | undefined): string {
  if (!delivery || delivery.status === "delivered") return "";
  if (delivery.status === "given_up") return `webhook given up after ${plural(delivery.attempts, "attempt")}`;
  return delivery.attempts ? `webhook: ${plural(delivery.attempts, "attempt")} failed` : "";
}

export function WebhookPanel({ delivery }: { delivery: WebhookDelivery }) {
  const now = Date.now();
  const next = delivery.next_attempt_at ? Date.parse(delivery.next_attempt_at) - now : undefined;
  return (
    <Panel title="Webhook" aside={<Status value={`delivery-${delivery.status}`} text={STATES[delivery.status]} />}>
      <dl class="figures">
        <Figure label="Attempts">{delivery.attempts}</Figure>
        <Figure label="Last attempt">{delivery.last_attempt_at ? <time dateTime={delivery.last_attempt_at}>{ago(delivery.last_attempt_at, now)}</time> : "–"}</Figure>
        <Figure label="Last response">{delivery.last_status ?? (delivery.attempts ? "none" : "–")}</Figure>
        {delivery.status === "pending" && <Figure label="Next attempt">{next === undefined ? "–" : next <= 0 ? "now" : `in ${duration(next)}`}</Figure>}
      </dl>
      {delivery.last_error && delivery.status !== "delivered" && <p class="delivery-error">“{delivery.last_error}”</p>}
      {delivery.status === "given_up" && <p class="dim">The server tries no further. The results stay here until the job expires; whoever waits for the webhook can read them from the job.</p>}
    </Panel>
  );
}
