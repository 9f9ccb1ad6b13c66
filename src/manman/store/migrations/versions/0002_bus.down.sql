DROP FUNCTION bus_forget(bigint);
DROP FUNCTION bus_leave(bigint);
DROP TABLE bus_messages, bus_consumers, bus_bindings, bus_queues;
