"""`make scale`: the deployed shape simulated past one machine, and checked against one."""
