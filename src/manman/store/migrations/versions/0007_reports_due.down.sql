DROP TABLE reports_due;
