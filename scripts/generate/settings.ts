import { SETTINGS as AGENT } from '../../agent/config/settings.ts';
import { SETTINGS as CONTROLLER } from '../../controller/config/settings.ts';
import { cell } from './markdown.ts';

/** The page of what can be set from outside, from both sides' tables. */
export async function settingsPage(): Promise<string> {
  const controller = CONTROLLER.map(({ env, about }) => `| \`${env}\` | ${cell(about)} |`);
  const agent = Object.values(AGENT).map(
    ({ env, flag, default: usual, about }) => `| \`${env}\` | \`${cell(flag)}\` | \`${usual}\` | ${cell(about)} |`,
  );
  return `# Settings

Made by \`npm run generate\` from [controller/config/settings.ts](../../controller/config/settings.ts) and
[agent/config/settings.ts](../../agent/config/settings.ts). Nothing else of the environment is read. What a plan can set is told by
\`kk-controller config defaults\`.

## kk-controller

| variable | what |
|---|---|
${controller.join('\n')}

## kk-agent

An option is stronger than its variable, and that than the default.

| variable | option | default | what |
|---|---|---|---|
${agent.join('\n')}
`;
}
