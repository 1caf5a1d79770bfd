// The tabs the page opens with. They run against the demo project; the server's tests check them against its schema.
import browse from "./examples/1-browse.graphql";
import artifact from "./examples/2-artifact.graphql";
import commit from "./examples/3-commit.graphql";
import commitVariables from "./examples/3-commit.json";
import events from "./examples/4-events.graphql";
import upload from "./examples/5-upload.graphql";

export const examples = [
  { query: browse },
  { query: artifact },
  { query: commit, variables: commitVariables },
  { query: events },
  { query: upload },
];
