/** Something that a person can put right: its message says what happened and what to do, and no stack is shown. */
export class DemoError extends Error {}
