// What became of an answer, in words.

import { ask } from './api.js';
import { complain, toast } from './status.js';

/** Say what became of a delivery, with a way to take it back. */
export function report({ app, task }, verb, reply) {
  for (const warning of reply?.warnings || []) toast(warning, { kind: 'warning', seconds: 12 });
  const stored = reply?.stored?.[0];
  const words = { answer: 'Submitted', nothing: 'Submitted: nothing here', skip: 'Skipped' }[verb];
  if (!stored) {
    toast(`${words}.`);
    return;
  }
  const path = `cases/${encodeURIComponent(task.item.id)}/undo`;
  toast(`${words}: ${task.item.id}, revision ${stored.number}.`, {
    about: 'delivery', // earlier ones are taken back from the history
    action: 'Take back',
    run: () => ask(path, {
      method: 'POST', query: { author: app.author, revision: stored.number },
      headers: { 'If-Match': '*' },
    }).then(() => toast('Taken back; the history has both.'), complain),
  });
}
