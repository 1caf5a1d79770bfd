// Runs the audits of GraphQL over HTTP against a server; writes what each found as a line of JSON.
import { auditServer } from "../../web/node_modules/graphql-http/lib/audits/index.mjs";

for (const { id, name, status, reason } of await auditServer({ url: process.argv[2] })) {
  console.log(JSON.stringify({ id, name, status, reason }));
}
