DROP TABLE partition_generations;
