"""Which step, call, operator, module and line everything belongs to. Other stages stand on these."""
