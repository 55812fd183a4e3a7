"""Parameters, operations and memory of any configuration before it runs, by tracing its real modules.
`plan.make_plan` predicts, `plan_table` prints."""
