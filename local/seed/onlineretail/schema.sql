CREATE TABLE customers (
  customer_id INT NOT NULL,
  country VARCHAR(50) NOT NULL,
  PRIMARY KEY (customer_id)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE products (
  stock_code VARCHAR(20) NOT NULL,
  description VARCHAR(100) NOT NULL,
  unit_price DECIMAL(10,2) NOT NULL,
  PRIMARY KEY (stock_code)
) DEFAULT CHARACTER SET utf8mb4;

CREATE TABLE purchases (
  line INT NOT NULL,
  invoice INT NOT NULL,
  stock_code VARCHAR(20) NOT NULL,
  customer_id INT NOT NULL,
  quantity INT NOT NULL,
  purchased_at DATETIME NOT NULL,
  PRIMARY KEY (line)
) DEFAULT CHARACTER SET utf8mb4;
